"""Progress of long computations: a bar on a terminal, plain lines elsewhere, both with the remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from weakspot.system.terminal import write_line

ProgressCallback: TypeAlias = Callable[[float, str], None]
"""Called with the share of the work that is done, in [0, 1], and a short text."""

LINE_EVERY = 15.0
"""Seconds between two plain lines."""


def say(text: str) -> None:
    """Prints one line for the user.

    Raises:
        StorageError: the standard output cannot be written.
    """
    write_line(text)


@contextmanager
def progress_bar(name: str) -> Generator[ProgressCallback]:
    """Shows a progress bar with the label ``name`` inside the block; yields the callback that updates it."""
    if sys.stdout is not None and sys.stdout.isatty():  # pyright: ignore[reportUnnecessaryComparison]  (closed: None)
        with _bar(name) as progress:
            yield progress
    else:
        yield _Lines(name)


@contextmanager
def phased_progress(name: str) -> Generator[Callable[[str, int, int], None]]:
    """Shows a progress bar for each phase of a work, one after the other.

    Yields:
        A callback that is called with the name of the phase, what is done of it, and its total.
    """
    with ExitStack() as stack:
        current: list[tuple[str, ProgressCallback]] = []

        def update(phase: str, done: int, total: int) -> None:
            if not current or current[0][0] != phase:
                stack.close()
                current[:] = [(phase, stack.enter_context(progress_bar(f"{name}: {phase}")))]
            current[0][1](done / total, "")

        yield update


@contextmanager
def _bar(name: str) -> Generator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<11}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[text]}"),
    )
    with Progress(*columns, console=Console()) as progress:
        task = progress.add_task(name, total=1.0, text="")
        yield lambda share, text="": progress.update(task, completed=share, text=text)


class _Lines:
    """Prints a line every :data:`LINE_EVERY` seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = time.monotonic()
        self._last = self._started
        self._first_share: float | None = None

    def __call__(self, share: float, text: str = "") -> None:
        now = time.monotonic()
        if self._first_share is None:
            self._first_share = share
        if now - self._last < LINE_EVERY:
            return
        self._last = now
        done = share - self._first_share
        left = f", about {(now - self._started) / done * (1 - share):.0f} s left" if done > 0 else ""
        say(f"  {self._name}: {100 * share:.0f} %{left}{f'   ({text})' if text else ''}")

"""Running a command: its exit code, its progress, and its command line in records."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from weakspot.system.process import exit_code
from weakspot.system.progress import progress_bar

T = TypeVar("T")


def run_command(main: Callable[[], object]) -> NoReturn:
    """Runs ``main`` and exits: with 0, with 2 after a user's error, which is printed, or with 130 after Ctrl-C."""
    sys.exit(exit_code(main))


def say(text: str) -> None:
    """Prints a line at once, even if the output is piped."""
    print(text, flush=True)


def with_progress(name: str, items: Iterable[T], total: int, unit: str) -> Iterator[T]:
    """The items, while a progress bar called ``name`` counts them, such as ``3 of 10 games``."""
    with progress_bar(name) as report:
        for done, item in enumerate(items, 1):
            yield item
            report(done / total, f"{done:,} of {total:,} {unit}")


def repeatable_command(words: Sequence[str]) -> str:
    """The command line of an experiment without anything of this machine: files by their names, no ``--folder`` and
    ``--output``.

    Args:
        words: of the command line, as in ``sys.argv``.
    """
    kept: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        option, equals, _ = word.partition("=")
        if option not in ("--folder", "--output"):
            kept.append(_without_folder(word))
        elif not equals:
            next(rest, None)
    return shlex.join(["python", "-m", f"experiments.{Path(words[0]).stem}", *kept])


def _without_folder(word: str) -> str:
    path, colon, function = word.rpartition(":") if ".py:" in word else (word, "", "")
    return f"FOLDER/{Path(path).name}{colon}{function}" if "/" in path and Path(path).expanduser().exists() else word

"""Running a command: its exit code, its progress, and its command line in records."""

from __future__ import annotations

import os
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


def require_one_thread(module: str) -> None:
    """Starts ``python -m module`` again, with the same arguments, unless OpenMP has one thread.

    Processes that are forked later would wait for ever for the threads of their parent.  OpenMP reads the variable when
    torch is loaded, which has happened by now.
    """
    if os.environ.get("OMP_NUM_THREADS") != "1":
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | {"OMP_NUM_THREADS": "1"})


def say(text: str) -> None:
    """Prints a line at once, even if the output is piped."""
    print(text, flush=True)


def with_progress(name: str, items: Iterable[T], total: int, unit: str) -> Iterator[T]:
    """The items, while a progress bar called ``name`` counts them, such as ``3 of 10 games``."""
    with progress_bar(name) as report:
        for done, item in enumerate(items, 1):
            yield item
            report(done / total, f"{done:,} of {total:,} {unit}")


def repeatable_command(argv: Sequence[str]) -> str:
    """The command line of an experiment or a benchmark without paths of this machine: files by their names, no ``--folder``
    and ``--output``.

    Args:
        argv: as in ``sys.argv``.
    """
    arguments: list[str] = []
    rest = iter(argv[1:])
    for argument in rest:
        option, equals, _ = argument.partition("=")
        if option not in ("--folder", "--output"):
            arguments.append(_without_folder(argument))
        elif not equals:
            next(rest, None)
    package = "benchmarks" if Path(argv[0]).parent.name == "benchmarks" else "experiments"
    return shlex.join(["python", "-m", f"{package}.{Path(argv[0]).stem}", *arguments])


def _without_folder(argument: str) -> str:
    path, colon, function = argument.rpartition(":") if ".py:" in argument else (argument, "", "")
    return f"FOLDER/{Path(path).name}{colon}{function}" if "/" in path and Path(path).expanduser().exists() else argument

"""Many runs in one process and one store: memory, descriptors, threads and temporary files must not grow."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import resource
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.reliability.sandbox import Sandbox
from weakspot.cli import main


@dataclass(frozen=True)
class Level:
    """What a process holds: memory in MB, descriptors, threads, child processes, and temporary files of the system."""

    memory_mb: float
    descriptors: int
    threads: int
    children: int
    temporary: int


def level() -> Level:
    """The level of this process now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    children = [path for task in Path("/proc/self/task").iterdir() for path in (task / "children").read_text().split()]
    return Level(
        round(pages * resource.getpagesize() / 2**20, 1),
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        len(children),
        len(os.listdir(tempfile.gettempdir())),
    )


def soak(sandbox: Sandbox, runs: int, warm: int = 10) -> dict[str, Any]:
    """Runs tiny settings ``runs`` times, each with another seed of the searches, and each tenth with everything anew.

    Args:
        sandbox: where the runs and their store are.
        runs: their number.
        warm: runs after which the first level is measured: libraries keep some memory from their first calls.
    """
    store, first, failures = sandbox.folder / "soak-store", level(), 0
    for number in range(runs):
        more = ("--synthesize.seed", str(number), "--store", str(store))
        if number % 10 == 9:
            more = (*more, "--collect.seed", str(number))
        output = sandbox.folder / "soak" / str(number)
        with contextlib.redirect_stdout(io.StringIO()):
            failures += main(["run", *sandbox.options(output, *more)]) != 0
        if number == min(warm, runs - 1):
            first = level()
    last = level()
    left = [str(path) for path in store.rglob("*.tmp")] + [str(path) for path in (sandbox.folder / "soak").rglob("*.tmp")]
    return {"runs": runs, "failures": failures, "first": asdict(first), "last": asdict(last), "temporary_left": len(left)}

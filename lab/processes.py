"""What a command and everything it starts costs: processor time, wall time, and the peak of its own memory."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weakspot.errors import RunError

EVERY = 0.05
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Cost:
    """The cost of a command.

    Attributes:
        processor_seconds: user and system time of all processes.
        seconds: wall time.
        megabytes: peak of the anonymous memory of all processes together. Pages of mapped files are not counted: the
            system takes them back when it needs memory.
    """

    processor_seconds: float
    seconds: float
    megabytes: float


def cost_of(command: Sequence[str]) -> Cost:
    """Executes a command and measures it.

    Raises:
        RunError: the command failed.
    """
    before, started, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None:
        peak = max(peak, sum(anonymous_bytes(pid) for pid in descendants(process.pid)))
        time.sleep(EVERY)
    _, errors = process.communicate()
    if process.returncode:
        raise RunError(f"{' '.join(command)} failed: {errors.decode(errors='replace')[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(round(used, 2), round(time.monotonic() - started, 2), round(peak / 2**20, 1))


def descendants(pid: int) -> list[int]:
    """A process and all processes that it or they started, as far as they are running."""
    found = [pid]
    for one in found:
        for task in _names(Path(f"/proc/{one}/task")):
            try:
                found += [int(child) for child in Path(f"/proc/{one}/task/{task}/children").read_text().split()]
            except OSError:  # it has ended
                continue
    return found


def anonymous_bytes(pid: int) -> int:
    """The anonymous memory of a process; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []

"""What the commands of weakspot cost: processor time of a process, and seconds to read a run."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from weakspot.artifacts.run import Run, load_run
from weakspot.errors import RunError

WEAKSPOT = (sys.executable, "-m", "weakspot.cli")
UP_TO_DATE = "nothing to do"
"""Printed by a run that had nothing to do."""
TINY = (
    *("--agent", "pong-double-dqn", "--targets", "T-", "LEFT"),
    *("--collect.frames", "240", "--collect.streams", "2", "--collect.shard-steps", "30", "--collect.epsilon", "1.0"),
    *("--train.steps", "6", "--train.prior-steps", "2", "--train.workers", "1"),
    *("--synthesize.states", "3", "--synthesize.steps", "5", "--synthesize.candidates", "16"),
    *("--goggles.episodes", "2", "--goggles.longest", "40", "--fidelity.reconstructions", "3"),
    *("--ground.states", "1", "--ground.trials", "20", "--ground.steps", "8", "--confirm.controls", "4"),
    *("--confirm.rollouts", "2", "--confirm.first", "2", "--confirm.horizon", "10", "--confirm.holds", "3"),
    *("--confirm.losing", "2", "--confirm.probes", "1"),
)
"""Options of a run that takes seconds."""


def processor_seconds(command: Sequence[str], repeats: int = 5, expected: str = "") -> float:
    """Processor time, user and system, of a command and its children; the median of the repeats.

    Args:
        command: with its arguments.
        repeats: how often it is run.
        expected: what it must print.

    Raises:
        RunError: the command failed, or did not print ``expected``.
    """
    return median(_processor_seconds(command, expected) for _ in range(repeats))


def _processor_seconds(command: Sequence[str], expected: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or expected not in done.stdout:
        raise RunError(
            f"{shlex.join(command)} ended with exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}",
            expected=f"exit code 0 and an output with {expected!r}" if expected else "exit code 0",
        )
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def finished_run(folder: Path) -> Run:
    """Makes a run that takes seconds in a new or finished folder, and returns it.

    Raises:
        RunError: it failed.
    """
    _processor_seconds([*WEAKSPOT, "run", *TINY, "--output", str(folder)], "")
    return load_run(folder)


def repeat_command(run: Run) -> list[str]:
    """The command that repeats a run in its folder."""
    command = shlex.split(run.command)[1:]
    if "--output" in command:
        position = command.index("--output")
        del command[position : position + 2]
    return [*WEAKSPOT, *command, "--output", str(run.folder)]


def seconds_to_load(folder: Path, repeats: int = 5) -> float:
    """Processor seconds of :func:`weakspot.load_run` in a new process, without starting Python; the median of repeats."""
    script = (
        "import sys, time\n"
        "started = time.process_time()\n"
        "import weakspot\n"
        "weakspot.load_run(sys.argv[1])\n"
        "print(time.process_time() - started)\n"
    )
    seconds: list[float] = []
    for _ in range(repeats):
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RunError(f"reading {folder} failed after {time.monotonic() - started:.1f} s: {done.stderr.strip()[-500:]}")
        seconds.append(float(done.stdout))
    return median(seconds)

"""Where jobs are executed: the interface that local processes, Ray and Slurm share, and the start of an attempt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from weakspot.sweep.config import Resources


class Executor(Protocol):
    """Executes attempts at jobs. It tells when an attempt has ended; what came of it is read from the marks of the job.

    Attributes:
        slots: how many jobs it takes at a time.
    """

    slots: int

    def submit(self, name: str, folder: Path, resources: Resources) -> None:
        """Starts an attempt at the job ``name`` in ``folder``, an absolute path."""
        ...

    def ended(self, seconds: float) -> dict[str, str]:
        """The jobs whose attempts ended since the last call, each with what went wrong outside of the job, or nothing.

        Waits up to ``seconds`` for the first one.
        """
        ...

    def cancel(self, name: str) -> None:
        """Ends the attempt at a job, which :meth:`ended` does not return afterwards."""
        ...

    def close(self) -> None:
        """Ends all attempts, and what the executor itself started."""
        ...


def first_line(error: Exception) -> str:
    """The first line of an error's message that is not empty; those of clusters are long."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


def start_attempt(folder: Path) -> subprocess.Popen[bytes]:
    """Starts an attempt at the job in ``folder``, which ends when the thread that called this ends."""
    return subprocess.Popen(
        [sys.executable, "-m", "weakspot.sweep.attempt", str(folder), str(os.getpid())],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def make_attempt(folder: str) -> str:
    """Makes an attempt at the job in ``folder`` and waits for its end; runs on the machine of the job.

    Returns:
        Why the attempt could not write its marks, or nothing.
    """
    return problem(start_attempt(Path(folder)))


def problem(process: subprocess.Popen[bytes]) -> str:
    """What an attempt printed, after its end: why it could not write its marks."""
    _, errors = process.communicate()
    return errors.decode(errors="replace").strip()

"""Jobs as processes of this machine."""

from __future__ import annotations

import subprocess
from multiprocessing.connection import wait
from pathlib import Path

from weakspot.errors import ConfigError
from weakspot.sweep.config import Resources
from weakspot.sweep.executor import problem, start_attempt


class LocalExecutor:
    """Executes up to ``slots`` jobs at a time as processes of this machine, which end with the current process.

    Args:
        slots: jobs at a time.
        resources: the largest ones of a job.

    Raises:
        ConfigError: several jobs would share a GPU.
    """

    def __init__(self, slots: int, resources: Resources) -> None:
        if resources.gpus and slots > 1:
            raise ConfigError(
                f"{slots} jobs at a time that use GPUs",
                expected="local jobs one at a time, since nobody assigns GPUs to them",
                todo="use --workers 1, or --executor ray, which assigns them",
            )
        self.slots = slots
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, name: str, folder: Path, resources: Resources) -> None:
        """Starts the process of an attempt."""
        self._running[name] = start_attempt(folder)

    def ended(self, seconds: float) -> dict[str, str]:
        """The jobs whose processes ended."""
        pipes = {process.stderr.fileno(): name for name, process in self._running.items() if process.stderr}
        closed = [pipes[fd] for fd in wait(list(pipes), seconds) if isinstance(fd, int)]
        return {name: problem(self._running.pop(name)) for name in closed}

    def cancel(self, name: str) -> None:
        """Ends the process of an attempt and everything it started."""
        process = self._running.pop(name)
        process.terminate()
        process.communicate()

    def close(self) -> None:
        """Ends all processes."""
        for name in list(self._running):
            self.cancel(name)

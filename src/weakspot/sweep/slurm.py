"""Jobs as submissions to Slurm through submitit.

A submission that Slurm preempts or whose time ends is put back into the queue as it is: the stages resume from their own
files. Submissions outlive the driver; when it is started again, it finds them and waits for them.
"""

from __future__ import annotations

import math
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import msgspec

from weakspot.errors import ConfigError, missing_extra
from weakspot.sweep.config import Resources
from weakspot.sweep.executor import first_line, make_attempt
from weakspot.system.files import make_folder, write_json

SUBMISSION = "submission.json"
"""File in the folder of a job that names its submission."""
POLL = 0.5
"""Seconds between two looks at the submissions; submitit asks Slurm less often."""
GENERIC = ("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node")
"""Parameters that submitit calls the same for all clusters; those of Slurm alone start with ``slurm_``."""
TIMEOUTS = 10
"""How often a submission whose time has ended is put back into the queue."""


class Submission:
    """What a submission executes. It is stored as a file, and contains the path of the job only."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self) -> str:
        """Makes an attempt at the job."""
        return make_attempt(self.folder)

    def checkpoint(self) -> Any:
        """Called when Slurm is about to end the submission: the same one is put back into the queue."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Submission(self.folder))


class SlurmExecutor:
    """Executes jobs as submissions to Slurm.

    Args:
        folder: where submissions and their logs are stored; on a disk that all machines share.
        parameters: of submitit for Slurm, such as ``partition`` and ``account``; ``timeout_min`` for a partition whose time
            is shorter than a job: the submission is put back into the queue, and its stages resume.
        slots: submissions at a time.
        cluster: slurm, or local: processes of this machine, for trying a sweep out.

    Raises:
        ConfigError: submitit or Slurm is missing, or there is no such parameter.
    """

    def __init__(
        self, folder: Path, parameters: dict[str, Any], slots: int, cluster: Literal["slurm", "local"] = "slurm"
    ) -> None:
        if find_spec("submitit") is None:
            raise missing_extra("submitit", "slurm")
        import submitit

        self.slots, self._folder, self._submitit, self._cluster = slots, make_folder(folder), submitit, cluster
        self._parameters = {name if name in GENERIC else f"slurm_{name}": value for name, value in parameters.items()}
        self._running: dict[str, Any] = {}
        self._executor(Resources())

    def submit(self, name: str, folder: Path, resources: Resources) -> None:
        """Submits a job, unless an earlier submission is still in the queue or working."""
        job = self._earlier(folder)
        if job is None:
            job = self._executor(resources, name).submit(Submission(str(folder)))
            write_json(folder / SUBMISSION, {"id": job.job_id})
        self._running[name] = job

    def ended(self, seconds: float) -> dict[str, str]:
        """The jobs whose submissions ended."""
        end = time.monotonic() + seconds
        while True:
            names = [name for name, job in self._running.items() if job.done()]
            if names or time.monotonic() >= end:
                return {name: _problem(self._running.pop(name)) for name in names}
            time.sleep(POLL)

    def cancel(self, name: str) -> None:
        """Cancels a submission."""
        self._running.pop(name).cancel()

    def close(self) -> None:
        """Leaves submissions in Slurm's queue, where the next driver finds them; ends local processes."""
        for name in list(self._running) if self._cluster == "local" else ():
            self.cancel(name)

    def _earlier(self, folder: Path) -> Any:
        """The submission that an earlier driver made for the job in ``folder``, if it has not ended."""
        if self._cluster == "local":  # submitit cannot watch local processes of another driver
            return None
        try:
            number = msgspec.json.decode((folder / SUBMISSION).read_bytes(), type=dict[str, str])["id"]
        except (OSError, KeyError, msgspec.DecodeError):
            return None
        job: Any = self._submitit.SlurmJob(self._folder, number)
        return None if job.done(force_check=True) else job

    def _executor(self, resources: Resources, name: str = "weakspot") -> Any:
        try:
            executor: Any = self._submitit.AutoExecutor(self._folder, cluster=self._cluster, slurm_max_num_timeout=TIMEOUTS)
            executor.update_parameters(**{**_requested(resources), "name": name, **self._parameters})
        except Exception as error:  # submitit raises RuntimeError, NameError and others
            raise ConfigError(
                f"submitit cannot use {self._cluster} with {self._parameters}: {error}",
                expected="a machine with sbatch, and parameters such as slurm_partition in [slurm] of the sweep file",
                todo="check the parameters, or submit from a login node of the cluster",
            ) from error
        return executor


def _requested(resources: Resources) -> dict[str, Any]:
    """The parameters of submitit for these resources. Slurm's time limit is a little longer than that of the attempt."""
    memory = {"mem_gb": resources.memory_gb} if resources.memory_gb else {}
    return {
        "nodes": 1,
        "tasks_per_node": 1,
        "cpus_per_task": resources.threads,
        "gpus_per_node": resources.gpus,
        "timeout_min": math.ceil(60 * resources.hours) + 5,
        **memory,
    }


def _problem(job: Any) -> str:
    """What went wrong with a submission itself."""
    try:
        return job.result()
    except Exception as error:  # of submitit, of the submitted function, or of reading its result
        return f"{type(error).__name__}: {first_line(error)}"

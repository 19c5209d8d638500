"""Executes the jobs of a sweep: those whose needs are done, until all are done or have failed.

The driver keeps nothing that matters: after a kill, the next one reads the marks and goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weakspot.errors import ConfigError
from weakspot.sweep.executor import Executor
from weakspot.sweep.job import Job, JobFolder, is_done
from weakspot.system.files import make_folder
from weakspot.system.locks import exclusive_lock

WAIT = 5.0
"""Seconds between two looks for attempts that hang."""
GRACE = 120.0
"""Seconds after its time limit at which an attempt that has not ended itself is given up."""

Status = Literal["earlier", "done", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        name: of the job.
        status: earlier: it was done before. done: now. failed: all attempts failed. not run: it needs one that failed.
        reason: why it is not done, in one line.
        log: what the last attempt printed.
    """

    name: str
    status: Status
    reason: str = ""
    log: Path | None = None


def job_folder(output: Path, name: str) -> JobFolder:
    """The folder of a job of the sweep in ``output``."""
    return JobFolder(output.absolute() / "jobs" / name)


def run_jobs(
    jobs: Sequence[Job],
    output: Path,
    executor: Executor,
    retries: int,
    say: Callable[[str], None] = print,
    grace: float = GRACE,
) -> list[Outcome]:
    """Executes jobs, each after those it needs, and returns the outcome of each in the order of ``jobs``.

    A job that is done already is not executed. A job that crashes, hangs or is lost with its machine is repeated; a job
    that ends with an error of the user is not.

    Args:
        jobs: with different names; their needs are among them.
        output: folder of the sweep.
        executor: where attempts are made; the caller closes it.
        retries: how often a job is repeated.
        say: called with lines of text.
        grace: seconds after its time limit at which an attempt is given up.

    Raises:
        ConfigError: jobs need each other, or a job that is not among them.
        RunError: another process executes the sweep.
        StorageError: a job cannot be written.
    """
    ready = ordered(jobs)
    make_folder(output)
    with exclusive_lock(output):
        driver = _Driver(ready, output, executor, retries, say, grace)
        driver.run()
        return [driver.outcomes[job.name] for job in jobs]


class _Driver:
    """The state of one execution: outcomes, jobs that wait, and jobs that are executed."""

    def __init__(
        self, jobs: Sequence[Job], output: Path, executor: Executor, retries: int, say: Callable[[str], None], grace: float
    ) -> None:
        self._executor, self._retries, self._say, self._grace = executor, retries, say, grace
        self._folders = {job.name: job_folder(output, job.name) for job in jobs}
        self.outcomes: dict[str, Outcome] = {}
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, tuple[Job, int]] = {}
        """Each job that is executed, and how many attempts there were before."""
        self._failures: dict[str, int] = {}
        for job in jobs:
            if is_done(self._folders[job.name], job) and self.outcomes.keys() >= set(job.needs):
                self.outcomes[job.name] = Outcome(job.name, "earlier")
            else:
                self._folders[job.name].reset()  # what it needs is made anew, so it is not done
                self._waiting[job.name] = job
        for name, job in self._waiting.items():  # all at the start: a full disk is noticed now, or by the jobs themselves
            self._folders[name].write(job)

    def run(self) -> None:
        while self._waiting or self._running:
            self._submit_ready()
            if not self._running:
                continue  # a job that cannot run may stop another one
            for name, problem in self._executor.ended(WAIT).items():
                self._finish(name, problem)
            self._give_up_hanging()

    def _submit_ready(self) -> None:
        for job in list(self._waiting.values()):
            needs = [self.outcomes.get(name) for name in job.needs]
            if failed := [need.name for need in needs if need and need.status in ("failed", "not run")]:
                del self._waiting[job.name]
                self.outcomes[job.name] = Outcome(job.name, "not run", f"needs {', '.join(failed)}")
            elif all(needs) and len(self._running) < self._executor.slots:
                del self._waiting[job.name]
                folder = self._folders[job.name]
                self._running[job.name] = (job, folder.attempts())
                self._executor.submit(job.name, folder.path, job.resources)

    def _finish(self, name: str, problem: str) -> None:
        job, before = self._running.pop(name)
        folder = self._folders[name]
        last = folder.attempts()
        log = folder.log(last) if last else None
        failed = folder.failed(job.key)
        if is_done(folder, job):
            self.outcomes[name] = Outcome(name, "done", log=log)
            self._say(f"{name}: done ({len(self.outcomes)} of {len(self._folders)})")
            return
        if failed and failed.attempt > before:
            reason, again = failed.reason, failed.retry
        else:
            reason, again = f"lost: {problem}" if problem else "lost: the attempt was killed", True
        self._failures[name] = self._failures.get(name, 0) + 1
        if again and self._failures[name] <= self._retries:
            self._say(f"{name}: {reason}; repeated")
            self._waiting = {name: job, **self._waiting}
            return
        self.outcomes[name] = Outcome(name, "failed", reason, log)
        self._say(f"{name}: failed: {reason}")

    def _give_up_hanging(self) -> None:
        """Gives up attempts whose own time limit has not ended them, such as those on a machine that hangs."""
        for name, (job, before) in list(self._running.items()):
            attempt = self._folders[name].attempt(before + 1)
            limit = 3600 * job.resources.hours + self._grace
            if attempt and time.time() - attempt.started > limit:
                self._executor.cancel(name)
                self._finish(name, f"no end {limit / 3600:g} hours after its start")


def ordered(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each after those it needs.

    Raises:
        ConfigError: jobs need each other, or one that is not among them, or two have the same name.
    """
    left = {job.name: job for job in jobs}
    if len(left) < len(jobs):
        raise ConfigError(f"{len(jobs)} jobs with {len(left)} names", expected="a different name for each job")
    known: dict[str, Job] = {}
    while ready := [job for job in left.values() if known.keys() >= set(job.needs)]:
        known |= {job.name: job for job in ready}
        left = {name: job for name, job in left.items() if name not in known}
    if left:
        raise ConfigError(
            f"the jobs {', '.join(left)} need each other, or jobs that do not exist", expected="jobs that can be executed"
        )
    return list(known.values())

"""``weakspot sweep``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from weakspot.errors import ConfigError
from weakspot.sweep.config import Resources, Sweep
from weakspot.sweep.driver import Outcome, Status, job_folder, run_jobs
from weakspot.sweep.executor import Executor
from weakspot.sweep.expand import jobs_of, selected
from weakspot.sweep.job import Job, is_done
from weakspot.sweep.local import LocalExecutor
from weakspot.sweep.read import read_sweep
from weakspot.system.cores import usable_cores
from weakspot.system.progress import say

ExecutorName = Literal["local", "ray", "slurm", "slurm-local"]
MANY = 1_000
"""Jobs that a cluster gets at a time, if ``--workers`` does not say otherwise; most of them wait there."""


@dataclass(frozen=True)
class SweepConfig:
    """Executes all jobs of a sweep that are not done yet. After a kill, the same command goes on.

    Attributes:
        file: The sweep file.
        executor: local: processes of this machine. ray: a Ray cluster. slurm: Slurm, through submitit. slurm-local: what
            slurm does, as processes of this machine, to try a sweep out.
        workers: Jobs at a time; 0: as many as this machine has cores for, or as the cluster takes.
        address: Address of a Ray cluster that is running, or auto; by default, one is started on this machine.
        only: Names of jobs, or patterns such as '*pong*'; other jobs are left out, except for those that these need.
        list: List the jobs and their states, and do nothing.
    """

    file: Annotated[Path, tyro.conf.Positional]
    executor: ExecutorName = "local"
    workers: int = 0
    address: str | None = None
    only: tuple[str, ...] = ()
    list: bool = False

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"workers is {self.workers}", expected="a whole number, at least 0")
        if self.address and self.executor != "ray":
            raise ConfigError(
                f"an address for the executor {self.executor}", expected="--executor ray", todo="leave --address out"
            )


def sweep(arguments: Sequence[str]) -> int:
    """``weakspot sweep``. Returns the exit status: 1 if a job is not done."""
    config = tyro.cli(SweepConfig, prog="weakspot sweep", args=arguments)
    sweep = read_sweep(config.file)
    jobs = selected(jobs_of(sweep), config.only) if config.only else jobs_of(sweep)
    if config.list:
        print_jobs(jobs, sweep.output)
        return 0
    say(f"{len(jobs)} jobs in {sweep.output}")
    if all(is_done(job_folder(sweep.output, job.name), job) for job in jobs):
        return print_outcomes([Outcome(job.name, "earlier") for job in jobs])
    with closing(make_executor(config, sweep)) as executor:
        outcomes = run_jobs(jobs, sweep.output, executor, sweep.retries, say)
    return print_outcomes(outcomes)


def make_executor(config: SweepConfig, sweep: Sweep) -> Executor:
    """The executor that the command line asks for.

    Raises:
        ConfigError: it cannot be used here.
    """
    used = (sweep.resources, sweep.training)
    largest = Resources(threads=max(one.threads for one in used), gpus=max(one.gpus for one in used))
    fitting = max(1, usable_cores() // largest.threads)
    if config.executor == "local":
        return LocalExecutor(config.workers or fitting, largest)
    if config.executor == "ray":
        from weakspot.sweep.ray_cluster import RayExecutor

        workers = config.workers or (MANY if config.address else fitting)
        return RayExecutor(config.address, workers, workers * largest.threads)
    from weakspot.sweep.slurm import SlurmExecutor

    folder = sweep.output.absolute() / "slurm"
    if config.executor == "slurm":
        return SlurmExecutor(folder, sweep.slurm, config.workers or MANY)
    return SlurmExecutor(folder, sweep.slurm, config.workers or fitting, "local")


def print_jobs(jobs: Sequence[Job], output: Path) -> None:
    """Prints each job with its state: done, the reason of its last failure, or to do."""
    counts: Counter[str] = Counter()
    width = max(len(job.name) for job in jobs)
    for job in jobs:
        folder = job_folder(output, job.name)
        failed = folder.failed(job.key)
        state = "done" if is_done(folder, job) else "failed" if failed else "to do"
        counts[state] += 1
        text = (
            f"  {failed.reason}" if failed and state == "failed" else f"  needs {', '.join(job.needs)}" if job.needs else ""
        )
        say(f"{job.name:<{width}}  {state:<6}{text}")
    say(", ".join(f"{count} {state}" for state, count in counts.items()))


def print_outcomes(outcomes: Sequence[Outcome]) -> int:
    """Prints what was done and what failed, with the logs. Returns the exit status."""
    names: dict[Status, str] = {"earlier": "done before", "done": "done", "failed": "failed", "not run": "not run"}
    counts = Counter(outcome.status for outcome in outcomes)
    say(", ".join(f"{counts[status]} {names[status]}" for status in get_args(Status) if counts[status]))
    for outcome in outcomes:
        if outcome.status in ("failed", "not run"):
            say(f"{outcome.name}: {outcome.status}: {outcome.reason}")
            if outcome.log:
                say(f"  log: {outcome.log}")
    return int(bool(counts["failed"] or counts["not run"]))

"""Jobs that fail in every way a sweep has to survive, and the evidence that every other job was done exactly once.

    python -m lab.faults FOLDER EXECUTOR

executes the jobs of :func:`interrupted_jobs` as a driver that can be killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from weakspot.errors import RunError
from weakspot.sweep.config import Resources
from weakspot.sweep.driver import Outcome, job_folder, run_jobs
from weakspot.sweep.executor import Executor
from weakspot.sweep.job import Job
from weakspot.sweep.local import LocalExecutor
from weakspot.sweep.ray_cluster import OBJECT_STORE, RayExecutor, require_token
from weakspot.sweep.slurm import SlurmExecutor

SHORT = Resources(hours=3 / 3600)
"""Of a job that hangs: it has three seconds."""


def make_executor(name: str, folder: Path, slots: int = 2) -> Executor:
    """An executor on this machine: ``local``, ``ray`` or ``slurm-local``."""
    if name == "local":
        return LocalExecutor(slots, Resources())
    if name == "ray":
        return RayExecutor(None, slots, slots)
    return SlurmExecutor(folder.absolute() / "slurm", {}, slots, "local")


@dataclass(frozen=True)
class Evidence:
    """What came of the jobs.

    Attributes:
        outcomes: of the last execution, by the name of the job.
        completions: how often the work of each job was completed.
        left: processes of the jobs that are still running.
    """

    outcomes: dict[str, Outcome]
    completions: dict[str, int]
    left: int

    @property
    def once(self) -> bool:
        """Whether every job that is done was completed exactly once, no other one was, and no process is left."""
        done = {name: outcome.status in ("done", "earlier") for name, outcome in self.outcomes.items()}
        return not self.left and all(count == done[name] for name, count in self.completions.items())

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each job."""
        return {name: outcome.status for name, outcome in self.outcomes.items()}


def counted_job(
    folder: Path, name: str, work: str = "", needs: tuple[str, ...] = (), resources: Resources | None = None
) -> Job:
    """A job that executes ``work`` in a shell, and then counts that it was completed."""
    script = f"{work or ':'}; echo {name} >> {counter(folder)}"
    return Job(name, (("sh", "-c", script),), needs=needs, resources=resources or Resources(hours=0.1))


def counter(folder: Path) -> Path:
    """The file that has a line for each completion of a job."""
    return folder / "completions.txt"


def completions(folder: Path, jobs: Sequence[Job]) -> dict[str, int]:
    """How often each job was completed."""
    lines = counter(folder).read_text().split() if counter(folder).exists() else []
    return {job.name: lines.count(job.name) for job in jobs}


def execute(folder: Path, jobs: Sequence[Job], executor: Executor, retries: int = 2, **options: float) -> Evidence:
    """Executes jobs, closes the executor, and returns the evidence."""
    with closing(executor):
        outcomes = run_jobs(jobs, folder, executor, retries, lambda text: None, **options)
    end = time.monotonic() + 5.0
    while (left := processes_of(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    return Evidence({outcome.name: outcome for outcome in outcomes}, completions(folder, jobs), len(left))


def bad_jobs(folder: Path) -> list[Job]:
    """Healthy jobs beside those that fail, explain an error, hang, or need one that fails."""
    return [
        counted_job(folder, "healthy-1"),
        counted_job(folder, "crashes", "echo error: it is broken; exit 3"),
        counted_job(folder, "explains", "echo error: no such agent; exit 2"),
        counted_job(folder, "hangs", f"sh -c 'sleep 600; echo late >> {counter(folder)}'", resources=SHORT),
        counted_job(folder, "needs-crashes", needs=("crashes",)),
        counted_job(folder, "healthy-2", needs=("healthy-1",)),
        counted_job(folder, "healthy-3", "sleep 0.5"),
    ]


def stalled_job(folder: Path, name: str, needs: tuple[str, ...] = ()) -> Job:
    """A job whose first attempt never ends, in a process of a process; later ones do."""
    mark = folder / f"{name}.began"
    work = f"if [ ! -e {mark} ]; then sh -c 'touch {mark}; sleep 600; true {mark}'; fi"
    return counted_job(folder, name, work, needs)


def processes_of(folder: Path) -> list[int]:
    """The processes whose command lines name a folder."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if str(folder).encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
    return found


def kill_when_begun(folder: Path, name: str, victim: Callable[[int, int], int]) -> None:
    """Waits for the first attempt at a job and kills a process.

    Args:
        folder: of the sweep.
        name: of the job.
        victim: the process to kill, from those of the attempt and of its parent.
    """
    end = time.monotonic() + 120
    while not (folder / f"{name}.began").exists():
        if time.monotonic() > end:
            raise RunError(f"the job {name} did not begin")
        time.sleep(0.05)
    attempt = job_folder(folder, name).attempt(1)
    if attempt is None:
        raise RunError(f"the job {name} has no record of its attempt")
    killed = victim(attempt.pid, attempt.parent)
    os.kill(killed, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(killed, 0)  # a child that nobody waits for would look alive to others


def parent_of(pid: int) -> int:
    """The parent of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


def interrupted_jobs(folder: Path) -> list[Job]:
    """Jobs during which the driver is killed: one that is done then, one that is in the middle, and some after it.

    The one in the middle needs the first: else the kill could come between the end of the first one's work and its record.
    """
    return [
        counted_job(folder, "first"),
        stalled_job(folder, "middle", needs=("first",)),
        counted_job(folder, "last-1", needs=("middle",)),
        counted_job(folder, "last-2", needs=("middle", "first")),
    ]


def driver_killed(folder: Path, executor: str) -> Evidence:
    """Kills a driver in the middle of its jobs, and starts another one."""
    command = [sys.executable, "-m", "lab.faults", str(folder), executor]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kill_when_begun(folder, "middle", lambda attempt, parent: driver.pid)
    driver.wait()
    jobs = interrupted_jobs(folder)
    return execute(folder, jobs, make_executor(executor, folder))


def worker_killed(folder: Path, executor: str) -> Evidence:
    """Kills what executes a job (a worker of Ray; elsewhere the attempt itself), beside all kinds of bad jobs."""
    jobs = [stalled_job(folder, "stalls"), *bad_jobs(folder)]
    with _killer(folder, "stalls", lambda attempt, parent: parent if executor == "ray" else attempt):
        return execute(folder, jobs, make_executor(executor, folder), retries=1)


def node_killed(folder: Path) -> Evidence:
    """Kills the node (raylet) of a Ray cluster of two nodes that executes a job, beside jobs on the other one."""
    jobs = [stalled_job(folder, "stalls"), *(counted_job(folder, f"healthy-{n}", "sleep 0.3") for n in range(4))]
    with two_ray_nodes() as address, _killer(folder, "stalls", lambda attempt, worker: parent_of(worker)):
        return execute(folder, jobs, RayExecutor(address, 2, 2))


@contextmanager
def two_ray_nodes() -> Generator[str]:
    """A Ray cluster on this machine whose two nodes have a core each, beside a node without cores for the driver."""
    require_token(None)
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, object_store_memory=OBJECT_STORE, include_dashboard=False)
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)
        yield str(cluster.address)
    finally:
        cluster.shutdown()


@contextmanager
def _killer(folder: Path, name: str, victim: Callable[[int, int], int]) -> Generator[None]:
    """Calls :func:`kill_when_begun` in a thread beside the block."""
    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill_when_begun, folder, name, victim)
        yield
        killed.result()


def full_disk(folder: Path, executor: str) -> tuple[Evidence, Evidence]:
    """Executes jobs in a folder on a small disk, of which one fills the disk; then frees the space and executes them again.

    Returns:
        The evidence of both executions.
    """
    big, bad = folder / "big", folder.parent / "disk-is-full"
    bad.touch()
    fill = f"if [ -e {bad} ]; then cat /dev/zero > {big}; fi; if [ -e {big} ]; then exit 1; fi"
    jobs = [
        counted_job(folder, "before"),
        counted_job(folder, "fills", fill, needs=("before",)),
        counted_job(folder, "after-1", f"[ ! -e {big} ] || exit 1", needs=("before",)),
        counted_job(folder, "after-2", needs=("fills",)),
    ]
    first = execute(folder, jobs, make_executor(executor, folder, 1))
    bad.unlink()
    big.unlink()
    return first, execute(folder, jobs, make_executor(executor, folder, 1))


def main() -> None:
    """Executes jobs as a driver that can be killed."""
    folder, executor = Path(sys.argv[1]), sys.argv[2]
    execute(folder, interrupted_jobs(folder), make_executor(executor, folder))


if __name__ == "__main__":
    main()

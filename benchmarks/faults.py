"""The faults that a sweep survives, on real executors: is every other job done exactly once?

    python -m benchmarks.faults --executors local ray --output docs/scale

worker: the process that executes a job is killed, beside jobs that fail, hang, explain an error, or need a failed one.
node: the node (raylet) of a Ray cluster that executes a job is killed. driver: the driver is killed in the middle of a job
and started again. disk: a job fills the disk, a tmpfs of one megabyte; later the space is freed and the sweep repeated.
Writes ``faults.json`` to ``--output`` after every fault.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.command import run_command, say
from lab.faults import Evidence, driver_killed, full_disk, node_killed, worker_killed
from lab.page import replace_table, table
from lab.records import earlier_record, package_versions, save_record
from weakspot.errors import ConfigError

Fault = Callable[[Path, str], list[Evidence]]
FAULTS: dict[str, Fault] = {
    "worker": lambda folder, executor: [worker_killed(folder, executor)],
    "node": lambda folder, executor: [node_killed(folder)],
    "driver": lambda folder, executor: [driver_killed(folder, executor)],
    "disk": lambda folder, executor: _on_small_disk(folder, executor),
}


def _on_small_disk(folder: Path, executor: str) -> list[Evidence]:
    with small_disk(folder / "disk") as disk:
        return list(full_disk(disk, executor))


@contextmanager
def small_disk(folder: Path) -> Generator[Path]:
    """A folder on a disk of one megabyte.

    Raises:
        ConfigError: this process may not mount one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        raise ConfigError("a small disk cannot be mounted", expected="the rights to mount", todo="leave out the fault disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def measure(fault: str, executor: str) -> dict[str, Any]:
    """Causes a fault, and returns what came of the jobs, in each execution."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        executions = FAULTS[fault](Path(folder), executor)
    return {
        "once": executions[-1].once,
        "executions": [
            {
                "statuses": one.statuses,
                "completions": one.completions,
                "processes_left": one.left,
                "reasons": {name: outcome.reason for name, outcome in one.outcomes.items() if outcome.reason},
            }
            for one in executions
        ],
        "seconds": round(time.monotonic() - started, 1),
    }


TITLES = {
    "worker": "what executes a job is killed, beside jobs that fail, hang and explain an error",
    "node": "a node of the cluster (raylet) is killed",
    "driver": "the driver is killed and started again",
    "disk": "the disk is full, and the sweep is repeated later",
}


def faults_table(record: dict[str, Any]) -> str:
    """The faults and what came of them, in Markdown."""
    executors = [name for name in ("local", "ray", "slurm-local") if name in record]
    rows = [(title, *(_answer(record[name].get(fault)) for name in executors)) for fault, title in TITLES.items()]
    return table(("fault: is every other job done exactly once?", *executors), rows)


def _answer(result: dict[str, Any] | None) -> str | None:
    return None if result is None else "yes" if result["once"] else "NO"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executors", nargs="+", default=["local", "ray"], choices=["local", "ray", "slurm-local"])
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--output", type=Path, default=Path("runs/scale"))
    parser.add_argument("--page", type=Path, help="Markdown page whose table is replaced")
    arguments = parser.parse_args()
    file = arguments.output / "faults.json"
    record = earlier_record(file)
    for executor in arguments.executors:
        for fault in arguments.faults:
            if fault == "node" and executor != "ray":
                continue
            result = measure(fault, executor)
            record.setdefault(executor, {})[fault] = result
            save_record(file, record | {"versions": package_versions("weakspot", "ray", "submitit")})
            if arguments.page:
                replace_table(arguments.page, "the faults of sweeps", faults_table(record))
            say(f"{executor}, {fault}: every other job done once: {result['once']}, {result['seconds']} s")


if __name__ == "__main__":
    run_command(main)

"""How weakspot scales: two workers against one, and cost and memory from 1,000 states on.

    python -m benchmarks.scale --output docs/scale

speedup: the same collections by one and by two workers of each executor, in turns; the wall time, best of the repeats.
cost: processor time and peak memory of collecting, saliency, a few training steps and the search for the closest states, for
each number of frames; bytes a frame on the disk, and what compressing the frames would save and cost. Writes ``scale.json``
to ``--output`` after every measurement. Other work on the machine changes wall times, and processor times a little.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.arguments import at_least
from lab.command import run_command, say
from lab.page import replace_table, table
from lab.records import earlier_record, package_versions, save_record
from lab.scaling import compression, jobs_seconds, stage_costs

STAGES = ("collect", "saliency", "train", "closest")


def speedup(executor: str, jobs: int, frames: int, repeats: int) -> dict[str, Any]:
    """Seconds by one and by two workers, and their ratio."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for workers, measured in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                measured.append(round(jobs_seconds(executor, Path(folder), workers, jobs, frames), 1))
    return {
        "jobs": jobs,
        "frames": frames,
        "seconds_of_one_worker": seconds[1],
        "seconds_of_two_workers": seconds[2],
        "speedup": round(min(seconds[1]) / min(seconds[2]), 2),
        "load": round(os.getloadavg()[0], 1),
    }


def ratios(costs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each stage, between the smallest and the largest number of frames: the increase of the processor time divided by
    that of the frames, and the increase of the memory in MB."""
    first, last = costs[0], costs[-1]
    return {
        stage: {
            "time_over_frames": round(
                last[stage]["processor_seconds"] / first[stage]["processor_seconds"] / (last["frames"] / first["frames"]), 3
            ),
            "megabytes_more": round(last[stage]["megabytes"] - first[stage]["megabytes"], 1),
        }
        for stage in STAGES
    }


def cost_table(costs: list[dict[str, Any]]) -> str:
    """Processor seconds and memory of each stage by the number of states, in Markdown."""
    names = {
        "collect": "collect",
        "saliency": "saliency",
        "train": "8 + 2 steps of train",
        "closest": "closest of 64 states",
    }
    head = ("states", *(f"{name}: CPU s, MB" for name in names.values()), "bytes a state on disk")
    rows = [
        (
            cost["frames"],
            *(f"{cost[stage]['processor_seconds']:.1f}, {cost[stage]['megabytes']:,.0f}" for stage in names),
            cost["bytes_per_frame"],
        )
        for cost in costs
    ]
    return table(head, rows)


def speedup_table(record: dict[str, Any]) -> str:
    """Seconds by one and two workers of each executor, in Markdown."""
    rows = [
        (name, min(one["seconds_of_one_worker"]), min(one["seconds_of_two_workers"]), one["speedup"], one["load"])
        for name, one in record.items()
    ]
    return table(("executor", "one worker, s", "two workers, s", "speed-up", "load of the two cores"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["cost", "speedup"], choices=["cost", "speedup"])
    parser.add_argument("--frames", nargs="+", type=at_least(1000), default=[1_000, 3_000, 10_000, 30_000])
    parser.add_argument("--queries", type=at_least(1), default=64, help="of the search for the closest states")
    parser.add_argument("--executors", nargs="+", default=["local", "ray", "slurm-local"])
    parser.add_argument("--jobs", type=at_least(2), default=4, help="of the speed-up")
    parser.add_argument("--job-frames", type=at_least(100), default=4_000, help="states of each of these jobs")
    parser.add_argument("--repeats", type=at_least(1), default=2)
    parser.add_argument("--output", type=Path, default=Path("runs/scale"))
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are replaced")
    arguments = parser.parse_args()
    file = arguments.output / "scale.json"
    record = earlier_record(file)

    def save() -> None:
        versions = package_versions("weakspot", "torch", "ray", "submitit")
        save_record(file, record | {"versions": versions, "written": datetime.now(UTC).isoformat(timespec="seconds")})

    if "cost" in arguments.parts:
        record["cost"] = []
        for frames in sorted(arguments.frames):
            with tempfile.TemporaryDirectory() as folder:
                record["cost"].append(stage_costs(Path(folder) / "run", frames, arguments.queries))
                record["compression"] = compression(Path(folder) / "run/collect")
                shutil.rmtree(Path(folder) / "run")
            record["ratios"] = ratios(record["cost"])
            save()
            if arguments.page:
                replace_table(arguments.page, "the cost of states", cost_table(record["cost"]))
            say(f"{frames:,} frames: {record['cost'][-1]}")
    if "speedup" in arguments.parts:
        for executor in arguments.executors:
            result = speedup(executor, arguments.jobs, arguments.job_frames, arguments.repeats)
            record.setdefault("speedup", {})[executor] = result
            save()
            if arguments.page:
                replace_table(arguments.page, "the speed-up of sweeps", speedup_table(record["speedup"]))
            say(f"{executor}: {result}")


if __name__ == "__main__":
    run_command(main)

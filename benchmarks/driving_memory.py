"""Whether the town's memory grows: the memory of a process after a tenth, half and all of many decisions.

    python -m benchmarks.driving_memory --decisions 1000000 --output docs/driving

Frames have 16x16 pixels, since their size does not change what stays in memory; all sensors are on.
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path

from lab.arguments import at_least
from lab.command import run_command, with_progress
from lab.driving import town_version
from lab.ray_casting import stop_and_go
from lab.records import package_versions, save_record
from lab.town import drive_env

SIZE = (16, 16)
"""Height and width of the frames."""


def growth(decisions: int) -> list[int]:
    """The process's memory in kB after a tenth, half and all of the decisions."""
    env = drive_env(size=SIZE)
    env.reset(seed=0)
    points = [max(1, decisions // part) for part in (10, 2, 1)]
    resident = {}
    for number in with_progress("decisions", range(decisions), decisions, "decisions"):
        _, _, terminated, truncated, _ = env.step(stop_and_go(number))
        if terminated or truncated:
            env.reset()
        if number + 1 in points:
            resident[number + 1] = _resident()
    return [resident[point] for point in points]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/town"))
    parser.add_argument("--decisions", type=at_least(1), default=20_000)
    arguments = parser.parse_args()
    record = {
        "kb_after_a_tenth_half_and_all": growth(arguments.decisions),
        "decisions": arguments.decisions,
        "picture": SIZE,
        "town_version": town_version(),
        "versions": package_versions("embreex", "numpy", "gymnasium"),
    }
    save_record(arguments.output / "memory.json", record)
    print(record)


if __name__ == "__main__":
    run_command(main)

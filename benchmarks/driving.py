"""Speed of the town: decisions per second on two processes, and the share of the bare ray casting of the same frames.

    python -m benchmarks.driving --output docs/driving

The bare time is that of Embree alone: the rays of each frame cast at the town, and those near moving objects cast at these,
whose scene is rebuilt for each frame. Both are measured in turn, several times, and medians are reported. For memory
see :mod:`benchmarks.driving_memory`.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path
from statistics import median
from typing import Any

from lab.arguments import at_least
from lab.command import run_command
from lab.ray_casting import decision_milliseconds, image_size, vectorised_decisions_per_second
from lab.records import package_versions, save_record

PROCESSES = 2


def measure(decisions: int, rounds: int) -> dict[str, Any]:
    """Medians over the rounds, and what they were measured on."""
    pairs = [decision_milliseconds(decisions) for _ in range(rounds)]
    speeds = [vectorised_decisions_per_second(decisions, PROCESSES) for _ in range(rounds)]
    return {
        "decisions_per_second_two_processes": median(speeds),
        "decision_ms": median(step for step, _ in pairs),
        "bare_ray_casting_ms": median(cast for _, cast in pairs),
        "share_of_ray_casting": median(cast / step for step, cast in pairs),
        "decisions": decisions,
        "rounds": rounds,
        "picture": image_size(),
        "versions": package_versions("embreex", "numpy", "gymnasium"),
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/town"))
    parser.add_argument("--decisions", type=at_least(1), default=300, help="per round")
    parser.add_argument("--rounds", type=at_least(1), default=15)
    arguments = parser.parse_args()
    record = measure(arguments.decisions, arguments.rounds)
    save_record(arguments.output / "speed.json", record)
    for name, value in record.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    run_command(main)

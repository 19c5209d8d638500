"""Whether the town's memory grows: what a process holds after a tenth of many decisions, half of them, and all of them.

    python -m benchmarks.driving_memory --decisions 1000000 --output docs/driving

Pictures are small, 16x16, since their size changes nothing about what is kept; all sensors are there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import resource
import sys
from pathlib import Path

import gymnasium

from benchmarks.driving import action
from lab.arguments import at_least
from weakspot.envs.driving.world import STATE_VERSION
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.system.progress import progress_bar

PICTURE = (16, 16)


def growth(decisions: int) -> list[int]:
    """Memory in kB after a tenth of the decisions, half of them, and all of them; small pictures, all sensors."""
    env = gymnasium.make("weakspot/Drive-v0", size=PICTURE)
    env.reset(seed=0)
    marks = [max(1, decisions // part) for part in (10, 2, 1)]
    held = {}
    with progress_bar("decisions") as tell:
        for number in range(decisions):
            _, _, terminated, truncated, _ = env.step(action(number))
            if terminated or truncated:
                env.reset()
            if number + 1 in marks:
                held[number + 1] = _resident()
            tell((number + 1) / decisions, f"{number + 1:,}")
    return [held[mark] for mark in marks]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/town"))
    parser.add_argument("--decisions", type=at_least(1), default=20_000)
    told = parser.parse_args()
    found = {
        "kb_after_a_tenth_half_and_all": growth(told.decisions),
        "decisions": told.decisions,
        "picture": PICTURE,
        "town_version": STATE_VERSION,
        "versions": {name: importlib.metadata.version(name) for name in ("embreex", "numpy", "gymnasium")},
    }
    write_json(make_folder(told.output) / "memory.json", found)
    print(found)


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""Networks of ``fast`` with other settings, trained for equal processor time or steps.

    python -m benchmarks.network --variants default adamw "adamw batch_size=32" --cpu-minutes 1.3 2.5 --seeds 0 1 2
    python -m benchmarks.network --variants default width=24 --steps 600

A variant is ``NAME=VALUE`` for settings of the recipe, or ``adamw`` for that optimiser.  For each: the squared error of
reconstructions of held-out states, how often the agent acts the same, the error of its outputs, and the recall of objects in
games whose objects are known.  The flow, which does not matter for these, is not trained.  One thread.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import torch

from lab.arguments import at_least, positive
from lab.command import repeatable_command, run_command, say
from lab.networks import measures_after, recipe_of
from lab.pipeline import STATES, open_session, run_config
from lab.records import all_versions, save_record
from weakspot import TrainConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--frames", type=at_least(1), default=20_000, help="number of states to collect")
    parser.add_argument("--variants", nargs="+", default=["default", "adamw"])
    parser.add_argument("--cpu-minutes", nargs="+", type=positive, default=[2.5], help="processor minutes of each training")
    parser.add_argument("--steps", type=at_least(0), default=0, help="of each training, instead of minutes")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/network"), help="folder of the runs")
    parser.add_argument("--output", type=Path, default=Path("runs/results/network.json"))
    arguments = parser.parse_args()
    recipes = {words: recipe_of(words) for words in arguments.variants}
    torch.set_num_threads(1)
    session = open_session(
        run_config(arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames), STATES
    )
    rows: list[dict[str, Any]] = []
    for minutes, seed, (words, recipe) in itertools.product(arguments.cpu_minutes, arguments.seeds, recipes.items()):
        config = TrainConfig(minutes=minutes, clock="processor", steps=arguments.steps, workers=1, seed=seed)
        rows.append({"variant": words, "minutes": minutes, "seed": seed, **measures_after(session, config, recipe)})
        say(str(rows[-1]))
        save_record(arguments.output, {"command": repeatable_command(sys.argv), "versions": all_versions(), "rows": rows})


if __name__ == "__main__":
    run_command(main)

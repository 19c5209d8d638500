"""Flows with other settings, trained on the latents of one state model for equal processor time or steps.

    python -m benchmarks.flow --variants default five-iterations "batch_size=384" --seconds 200 --seeds 0 1
    python -m benchmarks.flow --variants default guidance=0 --steps 150 400

A variant is ``NAME=VALUE`` for settings of the flow, or ``five-iterations`` for the optimiser as published.  For each:
steps, loss on training and held-out latents, the share of random samples that pass the object checks (Pong), and their
feature distance over that of two sets of real states.  One thread; variants with the same seed see the same latents.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import torch

from lab.arguments import add_training_arguments, at_least, positive
from lab.command import repeatable_command, run_command, say
from lab.flows import measured, prepare, variant
from lab.pipeline import open_session, run_config
from lab.records import all_versions, save_record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, 12.0)
    parser.add_argument("--variants", nargs="+", default=["default", "five-iterations"])
    parser.add_argument("--seconds", type=positive, default=200.0, help="processor seconds of each flow")
    parser.add_argument("--steps", nargs="+", type=at_least(1), default=[0], help="of each flow, instead of seconds")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0])
    parser.add_argument("--samples", type=at_least(10), default=400, help="of each flow")
    parser.add_argument("--output", type=Path, default=Path("runs/results/flow.json"))
    arguments = parser.parse_args()
    variants = [variant(words) for words in arguments.variants]
    config = run_config(
        arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames, minutes=arguments.cpu_minutes
    )
    torch.set_num_threads(1)
    ground = prepare(open_session(config), arguments.samples)
    rows = []
    for seed, steps, chosen in itertools.product(arguments.seeds, arguments.steps, variants):
        rows.append(measured(ground, chosen, seed, steps, arguments.seconds))
        say(str(rows[-1]))
        save_record(arguments.output, {"command": repeatable_command(sys.argv), "versions": all_versions(), "rows": rows})


if __name__ == "__main__":
    run_command(main)

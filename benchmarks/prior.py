"""Why random samples fail object checks: because of the network, the flow, or the integration of the flow.

    python -m benchmarks.prior --frames 80000 --cpu-minutes 60 --folder runs/pong --output docs/fidelity/pong-prior.json

Measured is the share that passes the checks, with its interval, of real states of Pong, their reconstructions, states
decoded from latents that the encoder draws around its means, and random samples with more and more steps of integration or
from a narrower N(0, s^2 I); and how far a point of N(0, I) moves through the flow and its inverse. The model is that of
:mod:`benchmarks.fidelity` with the same settings and ``--folder``; it is trained if it is not there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from lab.arguments import add_training_arguments, at_least
from lab.command import run_command, say
from lab.descents import recipes_with_flow
from lab.flow_checks import checks_by_origin
from lab.objects import check_pong
from lab.pipeline import open_session, run_config
from lab.records import save_record
from lab.states import real_states

STEPS = (4, 8, 16, 32)
"""Numbers of integration steps."""
SCALES = (0.9, 0.8)
"""Scales of the narrower distributions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, minutes=60.0)
    parser.add_argument("--recipe", default="fast", choices=recipes_with_flow())
    parser.add_argument("--states", type=at_least(1), default=1000, help="of each kind, at most")
    parser.add_argument("--output", type=Path, help="the JSON file; default: prior.json in --folder")
    arguments = parser.parse_args()
    config = run_config(
        arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames, recipe=arguments.recipe,
        minutes=arguments.cpu_minutes,
    )  # fmt: skip
    session = open_session(config, check=check_pong)
    chosen = np.random.default_rng(0).permutation(session.held_out)[: arguments.states]
    record = checks_by_origin(session.model, real_states(session, chosen), STEPS, SCALES)
    for name, checks in record.items():
        say(f"{name}: {json.dumps(checks)}")
    settings = {
        "agent": session.subject.agent.spec.name, "recipe": arguments.recipe, "frames": arguments.frames,
        "cpu_minutes": arguments.cpu_minutes, "states": len(chosen), "torch": torch.__version__,
    }  # fmt: skip
    save_record(arguments.output or arguments.folder / "prior.json", {"settings": settings, "states": record})


if __name__ == "__main__":
    run_command(main)

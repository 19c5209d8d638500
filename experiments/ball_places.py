"""Where the ball is in the synthesised states of Pong, compared with real states and random samples.

    python -m experiments.ball_places --frames 20000 --budget 10 --output docs/results/pong

A ball behind the agent's paddle is the obvious state of low value, and one behind the opponent's paddle of high value. How
often synthesised states show each says something only beside the share of real states and of random samples that do. The
ball is looked for in the newest frame; on real states, its place is compared with the one in the emulator's memory. The
agent's paddle is the right one.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab import intervals
from lab.arguments import at_least, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.enrichment import enrichment
from lab.experiment import start_experiment
from lab.figures import save_figure
from lab.measures import HELD_OUT
from lab.methods import algorithm_1, retrieval
from lab.objects import check_pong
from lab.pong import PLACES, ball_places, places_in_memory
from lab.samples import random_states
from lab.states import default_target_names, newest_images, stacks_of, worker_threads

DRAWN = 10
"""States of each kind that are drawn for a target."""
LABEL = 16
"""Characters in a line of the text below a picture."""
SAMPLES, MEASURED = 512, 4_000
"""Random samples, and held-out states at most, that are judged."""


def draw_figure(rows: dict[str, np.ndarray], title: str, path: Path) -> None:
    """Draws a row of newest frames for each target and kind of states, with the place of the ball below each."""
    figure = Figure(figsize=(1.25 * DRAWN, 1.75 * len(rows) + 0.5), layout="constrained")
    for part, (name, images) in zip(figure.subfigures(len(rows), 1, squeeze=False).flat, rows.items(), strict=True):
        part.suptitle(name, fontsize=9)
        for axes, pixels, place in zip(part.subplots(1, DRAWN), images, ball_places(images), strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(textwrap.fill(place, LABEL), fontsize=6, labelpad=2)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--targets", nargs="+", help="default: those of the agent")
    parser.add_argument("--states", type=at_least(DRAWN), default=200, help="synthesised states of each target")
    arguments = parse_arguments(parser)
    experiment = start_experiment(arguments, arguments.extra.targets, check=check_pong)
    session, generator = experiment.session, np.random.default_rng(arguments.seed)
    measured = generator.permutation(session.held_out)[:MEASURED]
    targets: dict[str, Any] = {}
    rows: dict[str, np.ndarray] = {}
    with worker_threads():
        real = ball_places(session.dataset.newest(measured))
        known = places_in_memory(session.dataset.ram[measured])
        samples = ball_places(newest_images(session, stacks_of(session, random_states(session, SAMPLES))))
        for name in arguments.extra.targets or default_target_names(session):
            found, best = (
                newest_images(session, stacks_of(session, experiment.find(method, name, arguments.extra.states).state))
                for method in (algorithm_1(arguments), retrieval())
            )
            rows |= {f"{name}, synthesised": found[:DRAWN], f"{name}, best real states": best[:DRAWN]}
            targets[name] = {
                place: {
                    **enrichment(ball_places(found) == place, samples == place, real == place),
                    "best real states": intervals.share(ball_places(best) == place),
                }
                for place in PLACES
            }
            say(f"{name}: {targets[name]}")
        draw_figure(rows, f"{experiment.agent_name}: where the ball is", arguments.output / "ball-places.png")
    experiment.write(
        "ball-places",
        {"targets": targets, f"{HELD_OUT} with the place of the memory": intervals.share(real == known)},
    )


if __name__ == "__main__":
    run_command(main)

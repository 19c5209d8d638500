"""Figure 4, section 4.3 of the paper: critical states of an ACKTR agent of Seaquest, drawn and judged.

    python -m experiments.figure_4_critical_states --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors \
        --output docs/results/seaquest

The paper shows states of T± "for example low oxygen (surviving vs. suffocating) or close proximity to enemies (earning
points vs. dying)". Here both are read off the newest frame of 64 states, of as many real states that the target ranks best,
of random samples of the state model and of real states: without the last two, a share says nothing. The first eight states
are drawn.
"""

from __future__ import annotations

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
from lab.objects import check_game
from lab.samples import random_states
from lab.seaquest import LOW_OXYGEN, enemy_distance, oxygen_level
from lab.states import held_out_outputs, stacks_of, state_images, target_named, worker_threads

TARGET = "T+-"
DRAWN, PER_ROW = 8, 4
"""States that are drawn, and states per row."""
SAMPLES, MEASURED = 512, 2_000
"""Random samples, and held-out states at most, that are judged."""
CLOSE = 15.0
"""Pixels between the centres of the player and of an enemy; the player's submarine is 8 wide."""


def signs(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Which of the paper's two reasons for a critical state each frame (n, h, w, 3) shows (n,)."""
    little, close = oxygen_level(frames) < LOW_OXYGEN, enemy_distance(frames) < CLOSE
    return {"little oxygen": little, "an enemy close by": close, "either": little | close}


def distances(frames: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """How many frames show player and enemies, and the mean distance between them in those."""
    found = enemy_distance(frames)
    found = found[np.isfinite(found)]
    return {"frames": len(found), "distance": intervals.mean(found, generator) if len(found) > 1 else None}


def draw_figure(images: np.ndarray, frames: np.ndarray, title: str, path: Path) -> None:
    """Draws newest frames with their oxygen and the distance to the closest enemy."""
    figure = Figure(figsize=(2.0 * PER_ROW, 2.35 * -(-len(images) // PER_ROW) + 0.5), layout="constrained")
    grid = figure.subplots(-(-len(images) // PER_ROW), PER_ROW, squeeze=False).flat
    for axes, pixels, level, distance in zip(grid, images, oxygen_level(frames), enemy_distance(frames), strict=False):
        axes.imshow(pixels, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        unknown = "no player found" if np.isnan(distance) else "no enemy found"
        away = f"enemy {distance:.0f} pixels away" if np.isfinite(distance) else unknown
        axes.set_xlabel(f"oxygen {level:.0%}, {away}", fontsize=7, labelpad=2)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--states", type=at_least(DRAWN), default=64, help="synthesised states")
    arguments = parse_arguments(parser)
    experiment = start_experiment(arguments, check=lambda subject: check_game(subject, "Seaquest", "figure 4"))
    session, count, generator = experiment.session, arguments.extra.states, np.random.default_rng(arguments.seed)
    with worker_threads():
        found = experiment.find(algorithm_1(arguments), TARGET, count)
        best = experiment.find(retrieval(), TARGET, count)
        real = session.dataset.newest(generator.permutation(session.held_out)[:MEASURED])
        frames = {
            "synthesised": stacks_of(session, found.state)[:, -1],
            "best real states": stacks_of(session, best.state)[:, -1],
            "random samples": stacks_of(session, random_states(session, SAMPLES))[:, -1],
            HELD_OUT: real,
        }
        flags = {kind: signs(newest) for kind, newest in frames.items()}
        energies = target_named(session, TARGET)(held_out_outputs(session)).numpy()
        result: dict[str, Any] = {
            "energies": [round(energy, 5) for energy in found.target.tolist()],
            HELD_OUT: {"count": len(energies), "mean": float(energies.mean()), "best": float(energies.min())},
            "shown": {
                sign: {
                    **enrichment(flags["synthesised"][sign], flags["random samples"][sign], flags[HELD_OUT][sign]),
                    "best real states": intervals.share(flags["best real states"][sign]),
                }
                for sign in flags["synthesised"]
            },
            "distance to the closest enemy": {kind: distances(newest, generator) for kind, newest in frames.items()},
        }
        say(str(result["shown"]))
        title = f"{experiment.agent_name}: the first {DRAWN} states of {TARGET}"
        images = state_images(session, found.state[:DRAWN])
        draw_figure(images, frames["synthesised"][:DRAWN], title, arguments.output / "figure-4.png")
        experiment.write("figure-4", result)


if __name__ == "__main__":
    run_command(main)

"""How fast algorithms learn a game: the score of ACKTR and A2C over the decisions, with the same seeds.

    python -m experiments.learning --game pong --steps 1000000 --seeds 0 1 2 --output docs/agents

Each training has a folder of its own, continues after a kill, and is not repeated. Several of these commands with different
seeds can run in parallel, and a last one with all seeds draws the figure. The algorithms use the defaults of
``weakspot train-agent``; how often and how long they are evaluated is set here.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lab.agent_training import Points, algorithm_names, algorithm_title, evaluated_config, trained_curve
from lab.arguments import at_least
from lab.command import run_command, say
from lab.figures import save_chart
from lab.records import save_record

EVALUATIONS = 20
"""Evaluations per training, evenly spaced."""


def mean_score(points: Points) -> float:
    """The mean score over the decisions of a training, linear between evaluations; the first one counts from the start."""
    steps = np.array([0.0, *(point["step"] for point in points)])
    scores = np.array([points[0]["score"], *(point["score"] for point in points)])
    return float(np.trapezoid(scores, steps) / steps[-1])


def draw_curves(curves: dict[str, list[Points]], game: str, path: Path) -> None:
    """Draws the score over decisions: the mean over seeds as a line, each seed as a faint line."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (name, runs) in enumerate(curves.items()):
        colour = f"C{number}"
        for points in runs:
            axes.plot([p["step"] for p in points], [p["score"] for p in points], color=colour, alpha=0.25, linewidth=1)
        grid = np.linspace(max(points[0]["step"] for points in runs), min(points[-1]["step"] for points in runs), 200)
        mean = np.mean([np.interp(grid, [p["step"] for p in q], [p["score"] for p in q]) for q in runs], axis=0)
        axes.plot(grid, mean, color=colour, linewidth=2, label=f"{algorithm_title(name)}, {len(runs)} seeds")
    axes.set(xlabel="decisions of the agent", ylabel=f"score in {game.replace('_', ' ').title()}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g} M" if value else "0")
    save_chart(figure, path)


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains what is not trained yet, and compares the learning curves."""
    curves: dict[str, list[Points]] = {name: [] for name in arguments.algorithms}
    settings: dict[str, dict[str, Any]] = {}
    for seed in arguments.seeds:
        for name in arguments.algorithms:
            config = evaluated_config(
                name, arguments.game, arguments.steps, seed, EVALUATIONS, arguments.episodes, arguments.longest
            )
            folder = arguments.folder / f"{name}-{arguments.game}-{arguments.steps}-{seed}"
            points, settings[name] = trained_curve(
                config, folder, lambda line, label=f"{name} {seed}": say(f"{label}: {line}")
            )
            curves[name].append(points)
    return {
        "settings": settings,
        "seeds": arguments.seeds,
        "torch": torch.__version__,
        "curves": curves,
        "mean_score": {name: [round(mean_score(points), 3) for points in runs] for name, runs in curves.items()},
        "last_score": {name: [points[-1]["score"] for points in runs] for name, runs in curves.items()},
        "cpu_minutes": {name: [round(p[-1]["cpu_seconds"] / 60, 1) for p in runs] for name, runs in curves.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="pong")
    parser.add_argument("--algorithms", nargs="+", default=["a2c", "acktr"], choices=list(algorithm_names()))
    parser.add_argument("--steps", type=at_least(1), default=1_000_000, help="decisions of each training")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2])
    parser.add_argument("--episodes", type=at_least(1), default=8, help="games per evaluation")
    parser.add_argument(
        "--longest", type=at_least(1), default=6_000, help="decisions after which a game of an evaluation is cut"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/learning"), help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="folder of the figure and the numbers; default: --folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    output = arguments.output or arguments.folder
    result = compare(arguments)
    save_record(output / f"learning-{arguments.game}.json", result)
    draw_curves(result["curves"], arguments.game, output / f"learning-{arguments.game}.png")
    for name in arguments.algorithms:
        say(f"{name}: mean score over the training {result['mean_score'][name]}, at its end {result['last_score'][name]}")


if __name__ == "__main__":
    run_command(main)

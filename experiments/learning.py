"""How fast algorithms learn a game: ACKTR against A2C in score per decision, with the same seeds.

    python -m experiments.learning --game pong --steps 1000000 --seeds 0 1 2 --output docs/agents

Every training lives in a folder of its own, is gone on with after a kill, and is not done again; several of these commands
with different seeds can run side by side, and a last one with all seeds draws the figure.  What an algorithm learns by are
the defaults of ``weakspot train-agent``; how often and how long it is evaluated is said here.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lab.arguments import at_least
from lab.figures import save
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.system.progress import say
from weakspot.training.algorithms import ALGORITHMS
from weakspot.training.config import TrainingConfig
from weakspot.training.train import train

EVALUATIONS = 20
"""Evaluations of a training, spaced evenly."""


def settings(algorithm: str, game: str, steps: int, seed: int, episodes: int, longest: int) -> TrainingConfig:
    """Those of one training."""
    return ALGORITHMS[algorithm].config(
        game=game,
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // EVALUATIONS),
        evaluation_episodes=episodes,
        final_episodes=episodes,
        episode_decisions=longest,
    )


def curve(folder: Path) -> list[dict[str, float]]:
    """The evaluations of a training: after how many decisions and processor seconds, and the mean score."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in ("step", "cpu_seconds", "score")} for line in lines]


def area(points: list[dict[str, float]]) -> float:
    """The mean score over the decisions of a training, linear between evaluations; the first one counts from the start."""
    steps = np.array([0.0, *(point["step"] for point in points)])
    scores = np.array([points[0]["score"], *(point["score"] for point in points)])
    return float(np.trapezoid(scores, steps) / steps[-1])


def drawn(curves: dict[str, list[list[dict[str, float]]]], game: str, path: Path) -> None:
    """Score over decisions: the mean of the seeds as a line, every seed as a faint one."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for which, (name, runs) in enumerate(curves.items()):
        colour = f"C{which}"
        for points in runs:
            axes.plot([p["step"] for p in points], [p["score"] for p in points], color=colour, alpha=0.25, linewidth=1)
        grid = np.linspace(max(points[0]["step"] for points in runs), min(points[-1]["step"] for points in runs), 200)
        mean = np.mean([np.interp(grid, [p["step"] for p in q], [p["score"] for p in q]) for q in runs], axis=0)
        axes.plot(grid, mean, color=colour, linewidth=2, label=f"{ALGORITHMS[name].title}, {len(runs)} seeds")
    axes.set(xlabel="decisions of the agent", ylabel=f"score in {game.replace('_', ' ').title()}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g} M" if value else "0")
    save(figure, path)


def compare(told: argparse.Namespace) -> dict[str, Any]:
    """Trains what is not trained yet, and compares the curves."""
    curves: dict[str, list[list[dict[str, float]]]] = {name: [] for name in told.algorithms}
    used: dict[str, dict[str, Any]] = {}
    for seed in told.seeds:
        for name in told.algorithms:
            config = settings(name, told.game, told.steps, seed, told.episodes, told.longest)
            folder = told.folder / f"{name}-{told.game}-{told.steps}-{seed}"
            train(config, folder, lambda line, about=f"{name} {seed}": say(f"{about}: {line}"))
            curves[name].append(curve(folder))
            used[name] = {key: value for key, value in asdict(config).items() if key != "seed"}
    result: dict[str, Any] = {"settings": used, "seeds": told.seeds, "torch": torch.__version__, "curves": curves}
    result["mean_score"] = {name: [round(area(points), 3) for points in runs] for name, runs in curves.items()}
    result["last_score"] = {name: [points[-1]["score"] for points in runs] for name, runs in curves.items()}
    result["cpu_minutes"] = {name: [round(p[-1]["cpu_seconds"] / 60, 1) for p in runs] for name, runs in curves.items()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="pong")
    parser.add_argument("--algorithms", nargs="+", default=["a2c", "acktr"], choices=list(ALGORITHMS))
    parser.add_argument("--steps", type=at_least(1), default=1_000_000, help="decisions of each training")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2])
    parser.add_argument("--episodes", type=at_least(1), default=8, help="of each evaluation")
    parser.add_argument(
        "--longest", type=at_least(1), default=6_000, help="decisions after which a game of an evaluation is cut"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/learning"), help="of the trainings")
    parser.add_argument("--output", type=Path, help="where the figure and the numbers go; the folder by default")
    told = parser.parse_args()
    torch.set_num_threads(1)
    output = told.output or told.folder
    for place in (told.folder, output):
        make_folder(place)
    result = compare(told)
    write_json(output / f"learning-{told.game}.json", result)
    drawn(result["curves"], told.game, output / f"learning-{told.game}.png")
    for name in told.algorithms:
        say(f"{name}: mean score over the training {result['mean_score'][name]}, at its end {result['last_score'][name]}")


if __name__ == "__main__":
    sys.exit(exit_code(main))

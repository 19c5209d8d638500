"""Recipes for equal processor time on the same frames of one agent: what they keep, and how good their samples are.

    python -m benchmarks.fidelity --recipes fast paper --cpu-minutes 60

Over time: mean squared error, the agent's agreement, the distance of its answers, and, in games whose objects are known,
their recall, all on held-out states.  At the end: the same on states that were trained on, the goggles test on paired seeds,
and of random samples the distance in the agent's features beside its floor, what a classifier can tell, and in Pong the
share that passes the object checks, beside the same of reconstructions and of real states.  Writes JSON, curves and a sheet
of random samples as PNG.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.recall import MEASURED, Stored, curve, stored
from lab.arguments import at_least, for_trainings
from lab.figures import save, sheet
from weakspot.analysis.classifier_test import telling_accuracy
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.goggles import goggles
from weakspot.analysis.samples import compare, draw
from weakspot.config import RunConfig
from weakspot.data.dataset import as_state
from weakspot.state_model.batch import with_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.recipes import RECIPES
from weakspot.subject import Subject, subject
from weakspot.system.compute import threads
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code

COLUMNS = 3
"""Panels side by side."""
SAMPLES = 400
"""States of each kind that are compared."""


def curves(lines: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """What was measured over time, a panel for each measure, a line for each recipe."""
    measured = {name for rows in lines.values() for row in rows for name in row}
    titles = {
        **{name: name.replace("_", " ") for name in sorted(measured) if name.endswith("_recall")},
        "agreement": "same greedy action",
        "answer_error": "squared error of answers / variance",
        "mse": "mean squared error",
    }
    shown = [name for name in titles if name in measured]
    across = min(len(shown), COLUMNS)
    down = -(-len(shown) // across)
    figure = Figure(figsize=(4.2 * across, 3.4 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for empty in panels[len(shown) :]:
        empty.remove()
    for axes, name in zip(panels, shown, strict=False):
        for recipe, rows in lines.items():
            points = [(row["seconds"] / 60, row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), marker=".", label=recipe)
        axes.set(title=titles[name], xlabel="processor minutes")
        if name in ("mse", "answer_error"):
            axes.set_yscale("log")
    save(figure, path)


def measure(one: Subject, data: Stored, recipes: list[str], minutes: float, episodes: int, folder: Path) -> dict[str, Any]:
    """Trains each recipe, or takes what stands in ``folder``, and measures it."""
    dataset, _ = data
    trained = with_history(dataset, dataset.split()[0])
    held = with_history(dataset, dataset.split()[1])
    count = min(SAMPLES, len(held) // 2)
    chosen = np.random.default_rng(0).permutation(held)[: 2 * count]
    real = as_state(dataset.stacks(chosen)).to(one.agent.device)
    result: dict[str, Any] = {}
    lines = {}
    for recipe in recipes:
        model, lines[recipe] = curve(one, data, recipe, minutes, folder, time.process_time)
        made = draw(model, count)
        with torch.no_grad():
            reconstructed = torch.cat([model.reconstruct(part) for part in real[:count].split(64)])
        result[recipe] = {"steps": model.info["steps"], "curve": lines[recipe]}
        seen = np.sort(np.random.default_rng(0).permutation(trained)[:MEASURED])
        result[recipe]["on_training_states"] = fidelity(model, one.perceive, dataset, seen).line()
        for name, states in (("samples", made), ("reconstructions", reconstructed)):
            record = compare(states, real, one.perceive, dataset.environment).record()
            result[recipe][name] = record | {"telling_accuracy": round(telling_accuracy(real[:count], states), 4)}
        if episodes:
            config = replace(GogglesConfig(), episodes=episodes)
            with threads(TrainConfig().parts):
                result[recipe]["goggles"] = goggles(model, one.agent, one.factory, config).record(config.seed)
        sheet(made, folder / f"samples-{recipe}.png")
        sheet(torch.stack([real[:12], reconstructed[:12]], dim=1).flatten(0, 1), folder / f"reconstructions-{recipe}.png")
        print(json.dumps({recipe: {k: v for k, v in result[recipe].items() if k != "curve"}}, indent=2), flush=True)
    curves(lines, folder / "curves.png")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for_trainings(parser, minutes=60.0)
    parser.add_argument(
        "--recipes", nargs="+", default=["fast", "fast-gaussian", "paper", "paper-vae"], choices=list(RECIPES)
    )
    parser.add_argument("--episodes", type=at_least(0), default=20, help="of the goggles test; 0 leaves it out")
    told = parser.parse_args()
    make_folder(told.folder)
    one = subject(RunConfig(agent=told.agent, environment=told.environment))
    result = measure(one, stored(one, told.folder, told.frames), told.recipes, told.cpu_minutes, told.episodes, told.folder)
    settings = {
        "agent": one.agent.spec.name, "frames": told.frames, "cpu_minutes": told.cpu_minutes,
        "episodes": told.episodes, "workers": TrainConfig().parts, "torch": torch.__version__,
    }  # fmt: skip
    write_json(told.folder / "fidelity.json", {"settings": settings, "recipes": result})


if __name__ == "__main__":
    sys.exit(exit_code(main))

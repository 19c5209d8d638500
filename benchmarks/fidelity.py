"""Recipes with equal processor time on the same frames of one agent: their reconstructions and random samples.

    python -m benchmarks.fidelity --recipes fast paper --cpu-minutes 60

Over time, on held-out states: mean squared error, how often the agent acts the same, the error of its outputs, and the
recall of objects in games whose objects are known. At the end: the same on training states, the goggles test, and for random
samples, reconstructions and real states the distance in the agent's features with its floor, the accuracy of a classifier
between them and real states, and the share that passes the object checks (Pong only). Writes JSON, curves, and sheets of
samples and reconstructions as PNG.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lab.arguments import add_training_arguments, at_least
from lab.command import run_command, say
from lab.descents import recipe_names
from lab.figures import save_chart, save_sheet
from lab.measures import reconstruction_measures
from lab.pipeline import MODEL, goggles_config, goggles_record, measurements, open_session, run_config
from lab.records import result_folder, save_record
from lab.samples import comparison_record, random_states
from lab.states import Session, real_states, reconstructed
from weakspot import TrainConfig

COLUMNS = 3
"""Panels per row."""
SAMPLES = 400
"""States of each kind that are compared, at most."""


def draw_curves(recipes: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draws the measurements over time, a panel for each measure, a line for each recipe."""
    measured = {name for rows in recipes.values() for row in rows for name in row}
    titles = {
        **{name: name.replace("_", " ") for name in sorted(measured) if name.endswith("_recall")},
        "agreement": "same greedy action",
        "answer_error": "squared error of outputs / variance",
        "mse": "mean squared error",
    }
    names = [name for name in titles if name in measured]
    columns = min(len(names), COLUMNS)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for empty in panels[len(names) :]:
        empty.remove()
    for axes, name in zip(panels, names, strict=False):
        for recipe, measurements_of_recipe in recipes.items():
            points = [(row["seconds"] / 60, row[name]) for row in measurements_of_recipe if name in row]
            axes.plot(*zip(*points, strict=True), marker=".", label=recipe)
        axes.set(title=titles[name], xlabel="processor minutes")
        if name in ("mse", "answer_error"):
            axes.set_yscale("log")
    save_chart(figure, path)


def measure(session: Session, episodes: int, folder: Path, recipe: str) -> dict[str, Any]:
    """The record of one recipe's state model; draws its sheets into ``folder``."""
    count = min(SAMPLES, len(session.held_out) // 2)
    chosen = np.random.default_rng(0).permutation(session.held_out)[: 2 * count]
    real = real_states(session, chosen).to(session.subject.agent.device)
    samples, reconstructions = random_states(session, count), reconstructed(session, real[:count])
    record: dict[str, Any] = {
        "steps": session.model.info["steps"],
        "curve": measurements(session),
        "on_training_states": reconstruction_measures(session, session.trained_on),
        "samples": comparison_record(session, samples, real),
        "reconstructions": comparison_record(session, reconstructions, real),
    }
    if episodes:
        record["goggles"] = goggles_record(session)
    save_sheet(samples, folder / f"samples-{recipe}.png")
    pairs = torch.stack([real[:12], reconstructions[:12]], dim=1).flatten(0, 1)
    save_sheet(pairs, folder / f"reconstructions-{recipe}.png")
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, minutes=60.0)
    parser.add_argument(
        "--recipes", nargs="+", default=["fast", "fast-gaussian", "paper", "paper-vae"], choices=list(recipe_names())
    )
    parser.add_argument("--episodes", type=at_least(0), default=20, help="of the goggles test; 0 skips it")
    arguments = parser.parse_args()
    stages = (*MODEL, "goggles") if arguments.episodes else MODEL
    recipes: dict[str, Any] = {}
    agent = ""
    for recipe in arguments.recipes:
        config = run_config(
            arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames, recipe=recipe,
            minutes=arguments.cpu_minutes, goggles=goggles_config(arguments.episodes),
        )  # fmt: skip
        session = open_session(config, stages)
        agent = session.subject.agent.spec.name
        recipes[recipe] = measure(session, arguments.episodes, result_folder(arguments.folder), recipe)
        printed = {name: value for name, value in recipes[recipe].items() if name != "curve"}
        say(json.dumps({recipe: printed}, indent=2))
    draw_curves({recipe: record["curve"] for recipe, record in recipes.items()}, arguments.folder / "curves.png")
    settings = {
        "agent": agent, "frames": arguments.frames, "cpu_minutes": arguments.cpu_minutes,
        "episodes": arguments.episodes, "workers": TrainConfig().parts, "torch": torch.__version__,
    }  # fmt: skip
    save_record(arguments.folder / "fidelity.json", {"settings": settings, "recipes": recipes})


if __name__ == "__main__":
    run_command(main)

"""Algorithm 1 beside what a user would do instead, on the same agent, target and state model.

    python -m experiments.baselines --targets T- T+- --states 64 --output docs/results/pong

Retrieval of the best real frames, HIGHLIGHTS, random samples of the state model, random search in its latent space with as
many passes through it as Algorithm 1 had, and activation maximisation in pixels.  Of each: the target's value, how new its
states are, their distance from real ones in the agent's features, in Pong the share that passes the object checks, how much
they differ, and what it cost.  Beside them held-out real states.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab import prepared
from lab.arguments import at_least
from lab.figures import write_figure
from lab.measures import HELD_OUT, measured, usual, yard
from weakspot.search.activation_maximization import ActivationMaximization
from weakspot.search.highlights import Highlights, HighlightsDiv
from weakspot.search.method import Method
from weakspot.search.pixel_regularisers import Plain, SobolevGradient
from weakspot.search.random_samples import RandomSamples
from weakspot.search.random_search import RandomSearch
from weakspot.search.retrieval import Retrieval
from weakspot.system.process import exit_code
from weakspot.system.progress import say

PANELS = {
    "target_sd": "target, standard deviations of\nreal states beyond their mean",
    "feature_distance": "distance from real states\nin the agent's features",
    "closest_mse": "mean squared error to the\nclosest training state",
    "valid": "share that passes\nthe object checks",
}
LOGARITHMIC = {"target_sd": 1.0, "feature_distance": 0.01, "closest_mse": 1e-5}
"""Axes on which activation maximisation would flatten the rest, and up to where each is linear, around 0."""


def intervals(axes: Axes, name: str, lines: dict[str, Any], real: dict[str, Any]) -> None:
    """One measure of each method with its interval, and that of real states as a band."""
    means, lows, highs = np.array([line[name] for line in lines.values()]).T
    places = np.arange(len(means))
    axes.hlines(places, lows, highs, color="steelblue", linewidth=2)
    axes.plot(means, places, "o", color="steelblue", markersize=5)
    if name in LOGARITHMIC:
        axes.set_xscale("symlog", linthresh=LOGARITHMIC[name], subs=range(2, 10))
        axes.margins(x=0.1)
    else:
        axes.set_xlim(-0.04, 1.04)
    usually, low, high = real.get(name, (0.0, 0.0, 0.0))  # the target is 0 there
    axes.axvspan(low, high, color="darkorange", alpha=0.25, linewidth=0)
    axes.axvline(usually, color="darkorange", linewidth=1.2)
    axes.set_yticks(places)
    axes.set_ylim(len(means) - 0.5, -0.5)
    axes.grid(axis="y", alpha=0.3)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def panels(told: dict[str, Any], real: dict[str, Any], title: str, path: Path) -> None:
    """A row for each target, a panel for each measure; the methods from above to below."""
    shown = [name for name in PANELS if name != "valid" or real["valid"]]
    figure = Figure(figsize=(2.9 * len(shown) + 2.4, 2.5 * len(told) + 1.2), layout="constrained")
    grid = figure.subplots(len(told), len(shown), squeeze=False, sharex="col", sharey=True)
    for row, (target, lines) in zip(grid, told.items(), strict=True):
        for axes, name in zip(row, shown, strict=True):
            intervals(axes, name, lines, real)
        row[0].set_yticklabels([method.replace(", ", ",\n") for method in lines])
        row[0].set_ylabel(f"target {target}", fontsize=10)
    for axes, name in zip(grid[-1], shown, strict=True):
        axes.set_xlabel(PANELS[name], fontsize=9)
    title = f"{title}: {real['states']} states of each method, with 95 % intervals; orange: as many held-out real states"
    figure.suptitle(title, fontsize=10)
    write_figure(figure, path)


def methods(passes: int, pixel_steps: int) -> list[Method]:
    """What Algorithm 1 is held against, where it had ``passes`` through the model."""
    return [
        Retrieval(),
        Highlights(),
        HighlightsDiv(),
        RandomSamples(),
        RandomSearch(passes),
        ActivationMaximization(Plain(), pixel_steps),
        ActivationMaximization(SobolevGradient(), pixel_steps),
    ]


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--targets", nargs="+", default=["T-", "T+-"])
    arguments.add_argument("--states", type=at_least(3), default=64)
    arguments.add_argument("--pixel-steps", type=at_least(1), default=300, help="of the descents in pixels")
    given = prepared.read(arguments)
    there = prepared.prepare(given, given.extra.targets)
    sources = there.sources(there.model(given))
    model = sources.model.info["made_of"]
    known, count = yard(there, given.extra.states), given.extra.states
    before = prepared.found_before("baselines", given, there)
    told: dict[str, Any] = before.get("targets", {})
    real = before.get(HELD_OUT) or usual(known)

    def keep() -> None:
        prepared.write("baselines", given, there, {"targets": told, HELD_OUT: real}, before.get("seconds", 0.0))

    with prepared.on_all_cores():
        for name in given.extra.targets:
            told.setdefault(name, {})

            def line(method: Method, name: str = name) -> int:
                known_line = told[name].get(method.name)
                if known_line and known_line["model"] == model:
                    return known_line["passes"]["model"]
                started = time.monotonic()
                target = there.target(name)
                found = method(sources, target, count, given.seed)
                seconds = round(time.monotonic() - started, 1)
                told[name][method.name] = measured(found, target, known)[0] | {"seconds": seconds, "model": model}
                keep()
                say(f"{name}, {method.name}: {told[name][method.name]}")
                return found.cost.model

            passes = line(given.algorithm)
            for method in methods(max(passes, count), given.extra.pixel_steps):
                line(method)
    keep()
    panels(told, real, there.subject.agent.spec.name, given.output / "baselines.png")


if __name__ == "__main__":
    sys.exit(exit_code(main))

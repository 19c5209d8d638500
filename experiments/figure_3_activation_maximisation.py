"""Figure 3, section 4.6 of the paper: activation maximisation in pixels beside Algorithm 1, for the same agent and target.

    python -m experiments.figure_3_activation_maximisation --target T+ --output docs/results/pong

Four states of each, as they come: pixels without any regulariser, with total variation, blurred images, blurred updates,
Sobolev gradients, and random transformations; below them Algorithm 1 and the best real states.  Beside the pictures the
distance to the closest training frame, the agent's answer, and the distance from real states in the agent's features; the
same of held-out real states.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lab import prepared
from lab.arguments import at_least
from lab.figures import write_figure
from lab.found_cache import searches
from lab.measures import HELD_OUT, measured, usual, yard
from weakspot.search.activation_maximization import ActivationMaximization
from weakspot.search.method import Found, Method
from weakspot.search.pixel_regularisers import EVERY
from weakspot.search.retrieval import Retrieval
from weakspot.system.process import exit_code
from weakspot.system.progress import say

SHOWN = 4


def panel(
    there: prepared.Prepared, rows: list[tuple[str, Found, dict]], real: dict[str, Any], target: str, path: Path
) -> None:
    """A row for each method: the newest frames of its first states, and what is said of all of them."""
    figure = Figure(figsize=(1.5 * SHOWN + 4.2, 1.55 * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), SHOWN + 1, squeeze=False, width_ratios=[1] * SHOWN + [2])
    for axes, (name, found, line) in zip(grid, rows, strict=True):
        for place, picture in zip(axes, there.pictures(found.state[:SHOWN]), strict=False):
            place.imshow(picture, interpolation="nearest")
            place.set(xticks=[], yticks=[])
        text = (
            f"{name}\n\ntarget: {_interval(line['target_sd'])} sd beyond the mean\n"
            f"mse to the closest training state: {_interval(line['closest_mse'])}\n"
            f"distance in features: {_interval(line['feature_distance'])}"
        )
        axes[SHOWN].text(0.0, 0.5, text, va="center", fontsize=8)
        axes[SHOWN].axis("off")
    title = (
        f"{there.subject.agent.spec.name}, target {target}: the first {SHOWN} of {real['states']} states, means of all\n"
        f"held-out real states: mse {_interval(real['closest_mse'])}, "
        f"distance in features {_interval(real['feature_distance'])}"
    )
    figure.suptitle(title, fontsize=10)
    write_figure(figure, path)


def _interval(told: list[float]) -> str:
    mean, low, high = (f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in told)
    return f"{mean} ({low} to {high})"


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--target", default="T+")
    arguments.add_argument("--states", type=at_least(3), default=16)
    arguments.add_argument("--pixel-steps", type=at_least(1), default=300, help="of the descent in pixels")
    given = prepared.read(arguments)
    there = prepared.prepare(given, [given.extra.target])
    sources, target = there.sources(there.model(given)), there.target(given.extra.target)
    known = yard(there, given.extra.states)
    everything: list[Method] = [ActivationMaximization(regulariser, given.extra.pixel_steps) for regulariser in EVERY]
    everything += [given.algorithm, Retrieval()]
    rows = []
    with prepared.on_all_cores(), searches("figure-3", given, there, sources) as find:
        for method in everything:
            found = find(method, given.extra.target, given.extra.states)
            rows.append((method.name, found, measured(found, target, known)[0]))
            say(f"{method.name}: {rows[-1][2]}")
        real = usual(known)
        panel(there, rows, real, target.name, given.output / "figure-3.png")
        methods = {name: line for name, _, line in rows}
        prepared.write("figure-3", given, there, {"target": target.name, "methods": methods, HELD_OUT: real})


if __name__ == "__main__":
    sys.exit(exit_code(main))

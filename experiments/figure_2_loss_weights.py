"""Figure 2 of the paper: the weights of the reconstruction loss over random frames, and what they lie on.

    python -m experiments.figure_2_loss_weights --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors \
        --output docs/results/seaquest

The weights are those of equation 2: guided backpropagation of the best score, averaged over 5x5 pixels; those of
the newest frame.  Beside them the share of the weights within two pixels of each kind of object (Pong, Seaquest, Q*bert),
over the share of the picture that this is: 1 for weights that are the same everywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lab import prepared
from lab.arguments import at_least
from lab.figures import write_figure
from weakspot.analysis.objects.finders import FINDERS, Windows, finder
from weakspot.data.dataset import as_state
from weakspot.errors import ConfigError
from weakspot.intervals import bootstrap_mean
from weakspot.saliency.rules import saliency
from weakspot.saliency.weights import loss_weights
from weakspot.subject import Subject
from weakspot.system.process import exit_code
from weakspot.system.progress import say

LIGHTEST = 99.5
"""Percent of the weights that the colour bar reaches up to."""
SHOWN, NEAR = 8, 2
"""Frames that are drawn; pixels around an object that are counted to it, as far as the average over 5x5 pixels spreads."""


def inside(windows: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels (h, w) within ``NEAR`` pixels of windows (m, 4)."""
    covered = np.zeros((height, width), bool)
    for left, top, right, bottom in windows:
        rows = slice(max(int(np.floor(top)) - NEAR, 0), max(int(np.ceil(bottom)) + NEAR, 0))
        columns = slice(max(int(np.floor(left)) - NEAR, 0), max(int(np.ceil(right)) + NEAR, 0))
        covered[rows, columns] = True
    return covered


def on_objects(weights: np.ndarray, windows: Windows, generator: np.random.Generator) -> dict[str, Any]:
    """For each kind of object, the mean share of the weights (n, h, w) on it and of the picture, over the frames that
    show one, and the mean of their ratio, all with their intervals."""
    told = {}
    for name, places in windows.items():
        shares = []
        for weight, window in zip(weights, places, strict=True):
            covered = inside(window, *weight.shape)
            if covered.any() and weight.sum() > 0:
                shares.append((float(weight[covered].sum() / weight.sum()), float(covered.mean())))
        if len(shares) > 1:
            on, area = np.array(shares).T
            told[name] = {
                "frames": len(shares),
                "share of the weights": bootstrap_mean(on, generator),
                "share of the picture": bootstrap_mean(area, generator),
                "times a uniform map": bootstrap_mean(on / area, generator),
            }
    return told


def panel(frames: np.ndarray, weights: np.ndarray, title: str, path: Path) -> None:
    """Frames above, their weights below, as many times those of a uniform map; lighter ones than the bar shows are few."""
    figure = Figure(figsize=(1.5 * len(frames) + 1.2, 3.6), layout="constrained")
    grid = figure.subplots(2, len(frames), squeeze=False)
    times = weights / weights.mean(axis=(1, 2), keepdims=True)
    colours: dict[str, Any] = {"cmap": "inferno", "vmin": 0, "vmax": np.percentile(times, LIGHTEST)}
    for column, (frame, weight) in enumerate(zip(frames, times, strict=True)):
        grid[0, column].imshow(frame, interpolation="nearest")
        drawn = grid[1, column].imshow(weight, interpolation="nearest", **colours)
        for axes in grid[:, column]:
            axes.set(xticks=[], yticks=[])
    grid[0, 0].set_ylabel("newest frame", fontsize=9)
    grid[1, 0].set_ylabel("weights of the loss", fontsize=9)
    bar = figure.colorbar(drawn, ax=list(grid[1]), extend="max", pad=0.01)
    bar.set_label("times a uniform map", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    write_figure(figure, path)


def refuse(one: Subject) -> None:
    """Raises :class:`ConfigError` for agents of games whose objects are not known."""
    if finder(one.spec.id) is None:
        raise ConfigError(f"the objects of {one.spec.id} are not known", expected=f"one of {', '.join(FINDERS)}")


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--states", type=at_least(1), default=500, help="random states whose weights are looked at")
    given = prepared.read(arguments)
    there = prepared.prepare(given, refuse=refuse)
    dataset, generator = there.dataset, np.random.default_rng(given.seed)
    chosen = np.sort(generator.permutation(there.held)[: given.extra.states])
    frames = dataset.newest(chosen)
    perceive = there.subject.perceive
    maps = [
        loss_weights(saliency(perceive, as_state(dataset.stacks(part)).to(perceive.agent.device)))[:, -1]
        for part in np.array_split(chosen, -(-len(chosen) // 64))
    ]
    weights = torch.cat(maps).cpu().numpy()
    find = finder(there.subject.spec.id)
    assert find is not None
    told = on_objects(weights, find(frames, dataset.ram[chosen]), generator)
    for name, line in told.items():
        say(f"{name}: {line}")
    shown = generator.permutation(len(chosen))[:SHOWN]
    panel(frames[shown], weights[shown], there.subject.agent.spec.name, given.output / "figure-2.png")
    prepared.write("figure-2", given, there, {"objects": told, "states": len(chosen)})


if __name__ == "__main__":
    sys.exit(exit_code(main))

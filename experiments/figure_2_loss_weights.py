"""Figure 2 of the paper: the weights of the reconstruction loss over random frames, and the objects that they are on.

    python -m experiments.figure_2_loss_weights --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors \
        --output docs/results/seaquest

The weights are those of equation 2 for the newest frame: guided backpropagation of the best score, averaged over 5x5
pixels. For each kind of object (Pong, Seaquest, Q*bert), the share of the weights within two pixels of it is divided by the
share of the frame that these pixels cover; uniform weights give 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab import intervals
from lab.arguments import at_least, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.experiment import start_experiment
from lab.figures import save_figure
from lab.objects import Windows, check_objects_known, recorded_objects
from lab.pipeline import STATES
from lab.states import newest_loss_weights

BAR_PERCENTILE = 99.5
"""Percentile of the weights at the upper end of the colour bar."""
FRAMES_DRAWN = 8
"""Frames that are drawn."""
MARGIN = 2
"""Pixels around an object that count as the object, since the weights are averaged over 5x5 pixels."""


def object_mask(windows: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels (h, w) within :data:`MARGIN` pixels of windows (m, 4)."""
    covered = np.zeros((height, width), bool)
    for left, top, right, bottom in windows:
        rows = slice(max(int(np.floor(top)) - MARGIN, 0), max(int(np.ceil(bottom)) + MARGIN, 0))
        columns = slice(max(int(np.floor(left)) - MARGIN, 0), max(int(np.ceil(right)) + MARGIN, 0))
        covered[rows, columns] = True
    return covered


def weights_on_objects(weights: np.ndarray, windows: Windows, generator: np.random.Generator) -> dict[str, Any]:
    """For each kind of object: the mean share of the weights (n, h, w) on it, the mean share of the frame, and the mean of
    their ratio, over the frames that show the object, all with intervals."""
    record = {}
    for name, windows_of_frames in windows.items():
        shares = []
        for weight, window in zip(weights, windows_of_frames, strict=True):
            covered = object_mask(window, *weight.shape)
            if covered.any() and weight.sum() > 0:
                shares.append((float(weight[covered].sum() / weight.sum()), float(covered.mean())))
        if len(shares) > 1:
            on_object, area = np.array(shares).T
            record[name] = {
                "frames": len(shares),
                "share of the weights": intervals.mean(on_object, generator),
                "share of the picture": intervals.mean(area, generator),
                "times a uniform map": intervals.mean(on_object / area, generator),
            }
    return record


def draw_figure(frames: np.ndarray, weights: np.ndarray, title: str, path: Path) -> None:
    """Draws frames, and below each its weights as multiples of a uniform map."""
    figure = Figure(figsize=(1.5 * len(frames) + 1.2, 3.6), layout="constrained")
    grid = figure.subplots(2, len(frames), squeeze=False)
    multiples = weights / weights.mean(axis=(1, 2), keepdims=True)
    colours: dict[str, Any] = {"cmap": "inferno", "vmin": 0, "vmax": np.percentile(multiples, BAR_PERCENTILE)}
    for column, (frame, weight) in enumerate(zip(frames, multiples, strict=True)):
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
    save_figure(figure, path)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--states", type=at_least(1), default=500, help="random held-out states that are measured")
    arguments = parse_arguments(parser)
    experiment = start_experiment(arguments, stages=STATES, check=check_objects_known)
    session, generator = experiment.session, np.random.default_rng(arguments.seed)
    chosen = np.sort(generator.permutation(session.held_out)[: arguments.extra.states])
    frames = session.dataset.newest(chosen)
    weights = newest_loss_weights(session, chosen)
    objects = weights_on_objects(weights, recorded_objects(session, chosen, frames), generator)
    for name, record in objects.items():
        say(f"{name}: {record}")
    drawn = generator.permutation(len(chosen))[:FRAMES_DRAWN]
    draw_figure(frames[drawn], weights[drawn], experiment.agent_name, arguments.output / "figure-2.png")
    experiment.write("figure-2", {"objects": objects, "states": len(chosen)})


if __name__ == "__main__":
    run_command(main)

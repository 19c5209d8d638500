"""Figures: sheets of states, rows of images, and the common style of charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import image
from matplotlib.figure import Figure

from weakspot.data.dataset import as_stacks
from weakspot.system.files import write_atomic
from weakspot.types import State

matplotlib.use("Agg")


def save_sheet(states: State, path: Path, columns: int = 6) -> None:
    """Writes the first 24 states: oldest and newest frame side by side in a white border, twice their size."""
    pairs = [np.concatenate([stack[0], stack[-1]], axis=1) for stack in as_stacks(states[:24])]
    framed = [np.pad(pair, ((1, 1), (1, 1), (0, 0)), constant_values=255) for pair in pairs]
    framed += [np.full_like(framed[0], 255)] * (-len(framed) % columns)
    lines = [np.concatenate(framed[i : i + columns], axis=1) for i in range(0, len(framed), columns)]
    save_image(np.concatenate(lines, axis=0).repeat(2, axis=0).repeat(2, axis=1), path)


def save_labelled(rows: Sequence[tuple[str, np.ndarray]], path: Path, title: str = "") -> None:
    """Writes rows of images (n, h, w, 3), each row with its label in front; shorter rows are filled with white."""
    width = max(len(images) for _, images in rows)
    figure = Figure(figsize=(1.3 * width + 1.6, 1.36 * len(rows) + (0.4 if title else 0.1)), layout="constrained")
    for line, (label, images) in zip(figure.subplots(len(rows), width, squeeze=False), rows, strict=True):
        for axes, pixels in zip(line, images, strict=False):
            axes.imshow(pixels, interpolation="nearest")
        for axes in line[len(images) :]:
            axes.spines[:].set_visible(False)
        for axes in line:
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def save_image(pixels: np.ndarray, path: Path) -> None:
    """Writes an image (h, w, 3), uint8, as PNG."""
    write_atomic(path, lambda temporary: image.imsave(temporary, np.ascontiguousarray(pixels), format="png"))


def save_chart(figure: Figure, path: Path) -> None:
    """Writes a figure whose panels show the same lines, with one legend below them."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        room = int(figure.get_figwidth() / (0.8 + 0.085 * max(map(len, labels))))
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), max(room, 1)), frameon=False)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG."""
    write_atomic(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))

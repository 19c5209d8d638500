"""Pictures of measurements: sheets of states, and how charts are finished and written."""

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


def sheet(states: State, path: Path, columns: int = 6) -> None:
    """Oldest and newest frame of the first 24 states, side by side, each pair framed, at twice their size."""
    pairs = [np.concatenate([stack[0], stack[-1]], axis=1) for stack in as_stacks(states[:24])]
    framed = [np.pad(pair, ((1, 1), (1, 1), (0, 0)), constant_values=255) for pair in pairs]
    framed += [np.full_like(framed[0], 255)] * (-len(framed) % columns)
    lines = [np.concatenate(framed[i : i + columns], axis=1) for i in range(0, len(framed), columns)]
    save_picture(np.concatenate(lines, axis=0).repeat(2, axis=0).repeat(2, axis=1), path)


def save_labelled(rows: Sequence[tuple[str, np.ndarray]], path: Path, title: str = "") -> None:
    """Writes rows of pictures (n, h, w, 3), each row with its name in front; shorter ones end in white."""
    wide = max(len(pictures) for _, pictures in rows)
    figure = Figure(figsize=(1.3 * wide + 1.6, 1.36 * len(rows) + (0.4 if title else 0.1)), layout="constrained")
    for line, (name, pictures) in zip(figure.subplots(len(rows), wide, squeeze=False), rows, strict=True):
        for place, picture in zip(line, pictures, strict=False):
            place.imshow(picture, interpolation="nearest")
        for place in line[len(pictures) :]:
            place.spines[:].set_visible(False)
        for place in line:
            place.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    write_figure(figure, path)


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Writes a picture (h, w, 3) of bytes as PNG."""
    write_atomic(path, lambda temporary: image.imsave(temporary, np.ascontiguousarray(picture), format="png"))


def save(figure: Figure, path: Path) -> None:
    """Writes a figure of panels that show the same lines, under one legend, in as many columns as its width has room for."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        room = int(figure.get_figwidth() / (0.8 + 0.085 * max(map(len, labels))))
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), max(room, 1)), frameon=False)
    write_figure(figure, path)


def write_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG."""
    write_atomic(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))

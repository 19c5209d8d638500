"""Pictures of measurements: sheets of states, and how charts are finished and written."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import image
from matplotlib.figure import Figure

from weakspot.dataset import as_stacks
from weakspot.files import write_atomic
from weakspot.types import State

matplotlib.use("Agg")


def sheet(states: State, path: Path, columns: int = 6) -> None:
    """Oldest and newest frame of the first 24 states, side by side, at twice their size."""
    stacks = as_stacks(states[:24])
    cells = [np.pad(np.concatenate([s[0], s[-1]], axis=1), ((1, 1), (1, 1), (0, 0)), constant_values=255) for s in stacks]
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    save_picture(np.concatenate(rows, axis=0).repeat(2, axis=0).repeat(2, axis=1), path)


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Writes a picture (h, w, 3) of bytes as PNG."""
    write_atomic(path, lambda temporary: image.imsave(temporary, np.ascontiguousarray(picture), format="png"))


def save(figure: Figure, path: Path) -> None:
    """Writes a figure of panels that show the same lines, under one legend."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    write_figure(figure, path)


def write_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG."""
    write_atomic(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))

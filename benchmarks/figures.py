"""Pictures of measurements: sheets of states, and how charts are finished and written."""

from __future__ import annotations

from collections.abc import Sequence
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
    pairs = [np.concatenate([stack[0], stack[-1]], axis=1) for stack in stacks]
    save_rows([pairs[i : i + columns] for i in range(0, len(pairs), columns)], path)


def save_rows(rows: Sequence[Sequence[np.ndarray] | np.ndarray], path: Path, times: int = 2, columns: int = 0) -> None:
    """Writes rows of pictures (h, w, 3) of one size as one, each framed, and every pixel as ``times`` by ``times`` of them;
    it is at least ``columns`` pictures wide, and shorter rows end in white."""
    lines, wide = [], max(columns, *(len(pictures) for pictures in rows))
    for pictures in rows:
        framed = [np.pad(picture, ((1, 1), (1, 1), (0, 0)), constant_values=255) for picture in pictures]
        blank = np.full_like(framed[0], 255)
        lines.append(np.concatenate(framed + [blank] * (wide - len(framed)), axis=1))
    save_picture(np.concatenate(lines, axis=0).repeat(times, axis=0).repeat(times, axis=1), path)


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

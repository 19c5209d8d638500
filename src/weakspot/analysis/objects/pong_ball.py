"""Whether the ball of Pong survives reconstruction: the known failure of VAEs on Atari.

The ball's position comes from the emulator's memory, not from the picture.  It *stands* in a reconstruction when, within
2 pixels of where it is in the real frame, something stands out from the background with at least half the contrast of
the real ball.
"""

from __future__ import annotations

import numpy as np

from weakspot.analysis.objects.recall import Recall
from weakspot.games import is_game
from weakspot.types import Frames

RAM_X, RAM_Y = 49, 54
"""Bytes that hold the ball's place."""
OFFSET_X, OFFSET_Y = -49, -14
"""From these bytes to the screen of 160 by 210 pixels (left upper corner of the ball, 2 by 4 pixels)."""
SCREEN_WIDTH, SCREEN_HEIGHT = 160, 210
FIELD = (34, 194)
"""Rows of the screen between the two white bands."""
CLEAR = (26, 134)
"""Columns of the screen that are clear of both paddles: beside one, a paddle would be taken for the ball."""
REACH = 2
"""Pixels of the small frame by which a reconstructed ball may be off."""
BLUE = 2
"""The colour in which the white ball stands out most from field (17) and paddles (74, 92)."""
LEAST_CONTRAST = 40.0
"""A real ball fainter than this is half hidden in a band, and not counted."""


def is_pong(environment: str) -> bool:
    """Whether an environment's id is that of a Pong."""
    return is_game(environment, "Pong")


def positions(ram: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ball's centre in small frames of ``height`` by ``width``: columns, rows, and whether it is in the field.

    Args:
        ram: the emulator's memory (n, 128).
    """
    x = ram[:, RAM_X].astype(np.float64) + OFFSET_X + 1.0
    y = ram[:, RAM_Y].astype(np.float64) + OFFSET_Y + 2.0
    inside = (ram[:, RAM_Y] != 0) & (x >= CLEAR[0]) & (x < CLEAR[1]) & (y >= FIELD[0] + 2) & (y < FIELD[1] - 2)
    return x * width / SCREEN_WIDTH, y * height / SCREEN_HEIGHT, inside


def ball_recall(real: Frames, reconstructed: Frames, ram: np.ndarray) -> Recall:
    """Holds reconstructed newest frames against the real ones.

    Args:
        real, reconstructed: newest colour frames (n, h, w, 3) of the same states.
        ram: the emulator's memory at these states (n, 128).

    Returns:
        One entry for each frame with a visible ball.
    """
    height, width = real.shape[1:3]
    columns, rows, inside = positions(ram, height, width)
    top, bottom = (int(np.ceil(edge * height / SCREEN_HEIGHT)) + 1 for edge in (FIELD[0], FIELD[1] - 5))
    found, index = [], []
    for i in np.flatnonzero(inside):
        window = np.s_[
            max(int(rows[i]) - REACH, top) : min(int(rows[i]) + REACH, bottom) + 1,
            max(int(columns[i]) - REACH, 0) : int(columns[i]) + REACH + 1,
            BLUE,
        ]
        background = float(np.median(real[i, top:bottom, :, BLUE]))
        contrast = _contrast(real[i][window], background)
        if contrast >= LEAST_CONTRAST:
            found.append(_contrast(reconstructed[i][window], background) >= 0.5 * contrast)
            index.append(i)
    return Recall(np.array(found, dtype=bool), np.array(index, dtype=np.int64))


def _contrast(window: np.ndarray, background: float) -> float:
    return float(window.max()) - background if window.size else 0.0

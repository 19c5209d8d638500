"""Recall of the ball of Pong in reconstructions; VAEs on Atari are known to lose it.

The ball's position comes from the emulator's memory, not from the image.  The ball is *recalled* if, within 2 pixels of
its position in the real frame, the reconstruction differs from the background by at least half the contrast of the real
ball.
"""

from __future__ import annotations

import numpy as np

from weakspot.analysis.objects.recall import Recall
from weakspot.games import is_game
from weakspot.types import Frames

RAM_X, RAM_Y = 49, 54
"""Bytes of the ball's position."""
OFFSET_X, OFFSET_Y = -49, -14
"""From these bytes to the screen (upper left corner of the ball, which has 2 by 4 pixels)."""
SCREEN_WIDTH, SCREEN_HEIGHT = 160, 210
"""Size of the emulator's screen in pixels."""
FIELD = (34, 194)
"""Rows of the screen between the two white bands."""
CLEAR = (26, 134)
"""Columns of the screen away from both paddles; near one, the paddle would be mistaken for the ball."""
REACH = 2
"""Maximum displacement of a reconstructed ball, in pixels of the downscaled frame."""
BLUE = 2
"""Colour channel in which the white ball has the most contrast with field (17) and paddles (74, 92)."""
MIN_CONTRAST = 40.0
"""Minimum contrast of a real ball that is counted; fainter ones are half hidden in a band."""


def is_pong(environment: str) -> bool:
    """Whether an environment with this id is Pong."""
    return is_game(environment, "Pong")


def positions(ram: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ball's centre in downscaled frames: columns (n,), rows (n,), and whether it is in the field (n,).

    Args:
        ram: the emulator's memory (n, 128).
        height, width: of the downscaled frames.
    """
    x = ram[:, RAM_X].astype(np.float64) + OFFSET_X + 1.0
    y = ram[:, RAM_Y].astype(np.float64) + OFFSET_Y + 2.0
    inside = (ram[:, RAM_Y] != 0) & (x >= CLEAR[0]) & (x < CLEAR[1]) & (y >= FIELD[0] + 2) & (y < FIELD[1] - 2)
    return x * width / SCREEN_WIDTH, y * height / SCREEN_HEIGHT, inside


def ball_recall(real: Frames, reconstructed: Frames, ram: np.ndarray) -> Recall:
    """Recall of the ball, with one entry for each frame in which it is visible.

    Args:
        real, reconstructed: newest colour frames (n, h, w, 3) of the same states.
        ram: the emulator's memory at these states (n, 128).
    """
    height, width = real.shape[1:3]
    columns, rows, inside = positions(ram, height, width)
    top, bottom = (int(np.ceil(edge * height / SCREEN_HEIGHT)) + 1 for edge in (FIELD[0], FIELD[1] - 5))
    flags: list[bool] = []
    index: list[int] = []
    for i in np.flatnonzero(inside).tolist():
        window = np.s_[
            max(int(rows[i]) - REACH, top) : min(int(rows[i]) + REACH, bottom) + 1,
            max(int(columns[i]) - REACH, 0) : int(columns[i]) + REACH + 1,
            BLUE,
        ]
        background = float(np.median(real[i, top:bottom, :, BLUE]))
        contrast = _contrast(real[i][window], background)
        if contrast >= MIN_CONTRAST:
            flags.append(_contrast(reconstructed[i][window], background) >= 0.5 * contrast)
            index.append(i)
    return Recall(np.array(flags, dtype=bool), np.array(index, dtype=np.int64))


def _contrast(window: np.ndarray, background: float) -> float:
    """By how much the brightest pixel of a window exceeds the background; 0 for an empty window."""
    return float(window.max()) - background if window.size else 0.0

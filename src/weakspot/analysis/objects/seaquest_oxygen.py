"""The oxygen in frames of Seaquest, and how often its agent dies without oxygen (paper, section 4.4).

The filled part of the bar at the bottom of the screen is gray, or blinks between gray and black when little is left; the
empty part is brown.  Brown is the only one of these colours with more red than blue, so

    oxygen = 1 - mean over the bar of (red - blue) / (163 - 21),

which needs only the image and therefore works for synthesised states as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weakspot.analysis.objects.pong_ball import SCREEN_HEIGHT, SCREEN_WIDTH
from weakspot.analysis.objects.seaquest import OXYGEN, OXYGEN_CORNER, OXYGEN_HEIGHT, OXYGEN_WIDTH
from weakspot.types import Frames

BROWN = 163.0 - 21.0
"""Red minus blue of the empty part of the bar."""
FULL = 64
"""Value of the emulator's memory when the bar is full."""
MAX_EMPTY = 4
"""Of 64: a life that is lost with at most this much left ended for lack of oxygen."""
BREATH = 0.1
"""Minimum share of a tank refilled without a pause that counts as surfacing."""


def oxygen(frames: Frames) -> Float[np.ndarray, " n"]:
    """Filled share of the bar (n,), 0 to 1, in newest frames (n, h, w, 3)."""
    height, width = frames.shape[1:3]
    (left, top), across, down = OXYGEN_CORNER, width / SCREEN_WIDTH, height / SCREEN_HEIGHT
    rows = slice(int(np.ceil(top * down)), int((top + OXYGEN_HEIGHT) * down))
    columns = slice(int(np.ceil(left * across)), int((left + OXYGEN_WIDTH) * across))
    bar = frames[:, rows, columns].astype(np.float64)
    return 1.0 - ((bar[..., 0] - bar[..., 2]) / BROWN).clip(0.0, 1.0).mean(axis=(1, 2))


@dataclass(frozen=True)
class Life:
    """The oxygen of one life that was lost.

    Attributes:
        oxygen: share of a full tank at each decision (n,), 0 to 1.
        out_of_oxygen: whether it ended for lack of oxygen.
    """

    oxygen: Float[np.ndarray, " n"]
    out_of_oxygen: bool

    @property
    def breaths(self) -> int:
        """How often the submarine refilled its tank, at least in part, after the first filling."""
        level = self.oxygen[np.argmax(self.oxygen >= BREATH) :]
        _, *rising = np.split(level, np.flatnonzero(np.diff(level) < 0) + 1)
        return sum(bool(part[-1] - part[0] >= BREATH) for part in rising)


def lives(ram: np.ndarray, life_lost: np.ndarray, stream: np.ndarray) -> list[Life]:
    """The lives lost in rollouts, each from the decision after the previous life was lost.

    The bar is emptied while the submarine sinks, so the cause of death is decided by the last oxygen level above 0.  Lives
    without any oxygen are left out.

    Args:
        ram: the emulator's memory (n, 128), in temporal order within each rollout.
        life_lost: whether a life was lost at this decision (n,).
        stream: rollout of each decision (n,).
    """
    lost_lives: list[Life] = []
    for rollout in np.unique(stream):
        level, lost = ram[stream == rollout, OXYGEN].astype(int), life_lost[stream == rollout]
        last = np.maximum.accumulate(np.where(level > 0, np.arange(len(level)), -1))  # last decision with oxygen
        begin = 0
        for end in np.flatnonzero(lost):
            if last[end] >= begin:
                lost_lives.append(Life(level[begin : end + 1] / FULL, bool(level[last[end]] <= MAX_EMPTY)))
            begin = end + 1
    return lost_lives

"""How much oxygen a picture of Seaquest shows, and what its agent dies of (paper, section 4.4).

The bar at the bottom of the screen is gray as far as there is oxygen, or blinks between gray and black where there is
little, and brown where there is none.  Brown is the only colour there with more red than blue, so that

    oxygen = 1 - mean over the bar of (red - blue) / (163 - 21),

which needs the picture alone, and so serves for synthesised states as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weakspot.analysis.objects.pong_ball import SCREEN_HEIGHT, SCREEN_WIDTH
from weakspot.analysis.objects.seaquest import OXYGEN, OXYGEN_HEIGHT, OXYGEN_PLACE, OXYGEN_WIDTH
from weakspot.types import Frames

BROWN = 163.0 - 21.0
"""Red minus blue of the empty part of the bar."""
FULL = 64
"""What the emulator's memory holds where the bar is full."""
NEARLY_NONE = 4
"""Of 64: with so little left when it dies, the submarine was out of oxygen."""
BREATH = 0.1
"""Share of a tank that comes in without a pause where a submarine has surfaced."""


def oxygen(frames: Frames) -> Float[np.ndarray, " n"]:
    """Share of the bar that is filled in newest frames (n, h, w, 3), 0 to 1."""
    height, width = frames.shape[1:3]
    (left, top), across, down = OXYGEN_PLACE, width / SCREEN_WIDTH, height / SCREEN_HEIGHT
    rows = slice(int(np.ceil(top * down)), int((top + OXYGEN_HEIGHT) * down))
    columns = slice(int(np.ceil(left * across)), int((left + OXYGEN_WIDTH) * across))
    bar = frames[:, rows, columns].astype(np.float64)
    return 1.0 - ((bar[..., 0] - bar[..., 2]) / BROWN).clip(0.0, 1.0).mean(axis=(1, 2))


@dataclass(frozen=True)
class Life:
    """The oxygen of one life that was lost.

    Attributes:
        oxygen: share of a full tank at each decision (n,), 0 to 1.
        out_of_oxygen: whether it was lost with an empty tank.
    """

    oxygen: Float[np.ndarray, " n"]
    out_of_oxygen: bool

    @property
    def breaths(self) -> int:
        """How often it took in oxygen again after it had been given its first tank, full or not."""
        left = self.oxygen[np.argmax(self.oxygen >= BREATH) :]
        _, *later = np.split(left, np.flatnonzero(np.diff(left) < 0) + 1)
        return sum(bool(part[-1] - part[0] >= BREATH) for part in later)


def lives(ram: np.ndarray, life_lost: np.ndarray, stream: np.ndarray) -> list[Life]:
    """The lives that were lost in rollouts, each from the decision after the one before it was lost.

    The bar is emptied while the submarine sinks, so what a life was lost of is told by what was left of the oxygen when it
    was last above 0.  Lives that have shown no oxygen at all are left out.

    Args:
        ram: the emulator's memory (n, 128), in the order of time within each rollout.
        life_lost: whether a life was lost there (n,).
        stream: which rollout each belongs to (n,).
    """
    found = []
    for one in np.unique(stream):
        level, lost = ram[stream == one, OXYGEN].astype(int), life_lost[stream == one]
        last = np.maximum.accumulate(np.where(level > 0, np.arange(len(level)), -1))  # when there was oxygen last
        begin = 0
        for end in np.flatnonzero(lost):
            if last[end] >= begin:
                found.append(Life(level[begin : end + 1] / FULL, bool(level[last[end]] <= NEARLY_NONE)))
            begin = end + 1
    return found

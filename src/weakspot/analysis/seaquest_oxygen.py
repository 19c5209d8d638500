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

from weakspot.analysis.ball import SCREEN_HEIGHT, SCREEN_WIDTH
from weakspot.analysis.seaquest_objects import OXYGEN, OXYGEN_HEIGHT, OXYGEN_PLACE, OXYGEN_WIDTH
from weakspot.types import Frames

BROWN = 163.0 - 21.0
"""Red minus blue of the empty part of the bar."""
FULL = 64
"""What the emulator's memory holds where the bar is full."""
NEARLY_NONE = 4
"""Of 64: with so little left when it dies, the submarine was out of oxygen."""


def oxygen(frames: Frames) -> Float[np.ndarray, " n"]:
    """Share of the bar that is filled in newest frames (n, h, w, 3), 0 to 1."""
    height, width = frames.shape[1:3]
    (left, top), across, down = OXYGEN_PLACE, width / SCREEN_WIDTH, height / SCREEN_HEIGHT
    rows = slice(int(np.ceil(top * down)), int((top + OXYGEN_HEIGHT) * down))
    columns = slice(int(np.ceil(left * across)), int((left + OXYGEN_WIDTH) * across))
    bar = frames[:, rows, columns].astype(np.float64)
    return 1.0 - ((bar[..., 0] - bar[..., 2]) / BROWN).clip(0.0, 1.0).mean(axis=(1, 2))


@dataclass(frozen=True)
class Deaths:
    """What the submarine died of.

    Attributes:
        out_of_oxygen: lives lost with an empty bar.
        otherwise: all others: by enemies and their shots, or at the surface, which costs a life without a diver on board.
    """

    out_of_oxygen: int
    otherwise: int


def deaths(ram: np.ndarray, life_lost: np.ndarray, stream: np.ndarray) -> Deaths:
    """Counts the lives that were lost in rollouts.

    The bar is emptied while the submarine sinks, so what counts is what was left of the oxygen when it was last above 0.
    Lives that were lost before a rollout has shown any oxygen are left out.

    Args:
        ram: the emulator's memory (n, 128), in the order of time within each rollout.
        life_lost: whether a life was lost there (n,).
        stream: which rollout each belongs to (n,).
    """
    left = []
    for one in np.unique(stream):
        level, lost = ram[stream == one, OXYGEN].astype(int), life_lost[stream == one]
        last = np.maximum.accumulate(np.where(level > 0, np.arange(len(level)), -1))  # when there was oxygen last
        left += [level[last[end]] for end in np.flatnonzero(lost) if last[end] >= 0]
    none = int((np.array(left, dtype=int) <= NEARLY_NONE).sum())
    return Deaths(none, len(left) - none)

"""Channels that show classes: of these, an environment draws exactly one at every pixel, at full strength.

A state model draws mixtures of classes where it is not sure.  No environment draws these, so that no state is close to them;
a reader, and the search for a twin, takes each pixel for the class that is most of it.
"""

from __future__ import annotations

import numpy as np

from weakspot.types import Frames, Stacks

FULL = 255


def class_channels(frames: Frames) -> tuple[int, ...]:
    """The channels of an environment's frames (n, h, w, c) that show classes; empty if there are none."""
    axes = tuple(range(frames.ndim - 1))
    binary = np.flatnonzero(((frames == 0) | (frames == FULL)).all(axis=axes))
    alone = len(binary) > 1 and bool(((frames[..., binary] == FULL).sum(axis=-1) == 1).all())
    return tuple(binary.tolist()) if alone else ()


def as_drawn(stacks: Stacks, channels: tuple[int, ...]) -> Stacks:
    """States (n, k, h, w, c) with the strongest of some channels at full strength at every pixel, and none of the others."""
    if not channels:
        return stacks
    drawn, chosen = stacks.copy(), list(channels)
    strongest = stacks[..., chosen].argmax(axis=-1)
    drawn[..., chosen] = np.where(strongest[..., None] == np.arange(len(chosen)), FULL, 0)
    return drawn

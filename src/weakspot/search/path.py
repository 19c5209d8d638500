"""The paths of searches: pictures of the states that they pass, for people who want to follow a search."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt8

from weakspot.data.dataset import as_stacks
from weakspot.types import Stacks, State

MOMENTS = 8
"""Steps of a search of which pictures are kept; the state at its end is one more."""


class PathRecorder:
    """Records the newest frames of the states of all searches, at a few steps evenly spread.

    Args:
        steps: the largest number of steps of a search.
        channels: of a frame.
    """

    def __init__(self, steps: int, channels: int) -> None:
        self.steps = np.unique(np.linspace(0, steps - 1, min(MOMENTS, steps)).astype(int))
        """Numbers of the steps, from 0 (p,)."""
        self._channels = channels
        self._frames: dict[int, dict[int, np.ndarray]] = {}

    def __call__(self, step: int, searches: Int[np.ndarray, " m"], state: State) -> None:
        """Sees the states of the ``searches`` that take a step, see :data:`weakspot.search.algorithm_1.Watch`."""
        if step not in self.steps:
            return
        newest = as_stacks(state[:, -self._channels :], self._channels)[:, 0]
        for search, frame in zip(searches.tolist(), newest, strict=True):
            self._frames.setdefault(search, {})[step] = frame

    def paths(self, searches: Int[np.ndarray, " n"], ends: Stacks) -> UInt8[np.ndarray, "m h w c"]:
        """The frames of the paths of ``searches``, one after the other (m, h, w, c), m = n (p + 1).

        A search that stopped before a step stands still at the last frame that was recorded.

        Args:
            searches: their numbers.
            ends: the states at their ends (n, k, h, w, c), whose newest frames are the last ones of the paths.
        """
        frames: list[np.ndarray] = []
        for search, end in zip(searches.tolist(), ends, strict=True):
            seen = self._frames.get(search, {})
            last = end[-1]
            for step in self.steps.tolist():
                last = seen.get(step, last)
                frames.append(last)
            frames.append(end[-1])
        return np.stack(frames)

"""The exact search for the closest training states, on states whose closest one is known."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from lab.states import whole_states, worker_threads
from weakspot.analysis.novelty import closest
from weakspot.data.dataset import StateDataset


@dataclass(frozen=True)
class NoisyStates:
    """Recorded states with a little noise.

    Attributes:
        dataset: they are of.
        indices: of all whole states, among which the closest is searched.
        chosen: indices of the states without noise (n,).
        stacks: with noise (n, k, h, w, c), uint8.
    """

    dataset: StateDataset
    indices: np.ndarray
    chosen: np.ndarray
    stacks: np.ndarray

    def find_closest(self) -> tuple[float, np.ndarray]:
        """Searches for the closest recorded state of each; returns the seconds, and whether it is correct (n,)."""
        started = time.perf_counter()
        with worker_threads():
            nearest = closest(self.stacks, self.dataset.stacks, self.indices)
        seconds = time.perf_counter() - started
        correct = [(self.dataset.stacks(self.chosen[[i]])[0] == stack).all() for i, stack in enumerate(nearest.stacks)]
        return seconds, np.array(correct, bool)


def noisy_states(dataset: StateDataset, count: int) -> NoisyStates:
    """``count`` random whole states with noise of at most 3 levels."""
    indices = whole_states(dataset)
    rng = np.random.default_rng(0)
    chosen = rng.choice(indices, count)
    stacks = dataset.stacks(chosen)
    for stack in stacks:
        stack[:] = (stack + rng.integers(-3, 4, stack.shape, dtype=np.int16)).clip(0, 255)
    return NoisyStates(dataset, indices, chosen, stacks)

"""Oxygen in Seaquest: what frames show, and how it runs out in the lives of a collection."""

from __future__ import annotations

import numpy as np

from weakspot.analysis.objects.seaquest_oxygen import Life, lives, oxygen
from weakspot.data.dataset import StateDataset
from weakspot.types import Frames


def oxygen_level(frames: Frames) -> np.ndarray:
    """The length of the oxygen bar in frames (n, h, w, 3), as a share of the whole bar (n,)."""
    return oxygen(frames)


def recorded_lives(dataset: StateDataset) -> list[Life]:
    """All lives that were lost in a collection, each with its oxygen over time."""
    order = np.lexsort((dataset.time, dataset.stream))
    return lives(dataset.ram[order], dataset.life_lost[order], dataset.stream[order])

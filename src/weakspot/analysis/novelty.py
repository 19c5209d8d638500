"""How new synthesised states are: the closest training state of each, and how much of the picture differs (section 4.8).

The search is exact: ||a - b||^2 = ||a||^2 + ||b||^2 - 2 a.b over all training states, in batches of matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from weakspot.dataset import StateDataset
from weakspot.types import Stacks

DIFFERS = 0.25
"""A pixel differs when a colour is off by more than this share of the range (paper, table 2)."""
BATCH = 256


@dataclass(frozen=True)
class Closest:
    """The closest training state of each synthesised one.

    Attributes:
        index: its place in the data set (n,).
        mse: mean squared error, colours in [0, 1] (n,).
        stacks: the states (n, k, h, w, 3).
        differing_share: share of pixels, over the whole stack, of which a colour is off by over 25 % (n,).
    """

    index: np.ndarray
    mse: np.ndarray
    stacks: Stacks
    differing_share: np.ndarray


def closest(
    states: Stacks,
    dataset: StateDataset,
    indices: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Closest:
    """Searches the states ``indices`` of ``dataset`` for the closest one to each of ``states`` (n, k, h, w, 3)."""
    wanted = torch.from_numpy(states.reshape(len(states), -1)).float() / 255
    norms = wanted.square().sum(dim=1)
    best = torch.full((len(states),), torch.inf)
    where = torch.zeros(len(states), dtype=torch.long)
    for at in range(0, len(indices), BATCH):
        part = dataset.stacks(indices[at : at + BATCH])
        real = torch.from_numpy(part.reshape(len(part), -1)).float() / 255
        distance = norms[:, None] + real.square().sum(dim=1)[None] - 2.0 * wanted @ real.T
        least, position = distance.min(dim=1)
        better = least < best
        best = torch.where(better, least, best)
        where = torch.where(better, position + at, where)
        progress(min(at + BATCH, len(indices)), len(indices))
    chosen = indices[where.numpy()]
    stacks = dataset.stacks(chosen)
    difference = np.abs(stacks.astype(np.int16) - states.astype(np.int16))
    differs = (difference > DIFFERS * 255).any(axis=-1).mean(axis=(1, 2, 3))
    mse = (difference.astype(np.float32) / 255) ** 2
    return Closest(chosen, mse.mean(axis=(1, 2, 3, 4)), stacks, differs.astype(np.float64))

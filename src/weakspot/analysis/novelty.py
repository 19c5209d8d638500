"""How new synthesised states are: the closest training state of each, and how much of the picture differs (section 4.8).

The search is exact, in whole numbers: ||a - b||^2 = ||a||^2 + ||b||^2 - 2 a.b over all training states, with colours less
128 and the products taken over ``EXACT`` colours at a time, whose sum float32 holds without rounding:

    1024 * 128 * 128 = 2^24.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from weakspot.data.dataset import StateDataset
from weakspot.types import Stacks

DIFFERS = 0.25
"""A pixel differs when a colour is off by more than this share of the range (paper, table 2)."""
MIDDLE = 128
EXACT = 1024
"""Products of two colours less ``MIDDLE`` that can be added up in float32 without rounding."""
BATCH = 1024


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
    wanted = _centred(states)
    best = torch.full((len(states),), torch.inf, dtype=torch.float64)
    where = torch.zeros(len(states), dtype=torch.long)
    for at in range(0, len(indices), BATCH):
        least, position = _squared_distances(wanted, _centred(dataset.stacks(indices[at : at + BATCH]))).min(dim=1)
        better = least < best
        best = torch.where(better, least, best)
        where = torch.where(better, position + at, where)
        progress(min(at + BATCH, len(indices)), len(indices))
    chosen = indices[where.numpy()]
    stacks = dataset.stacks(chosen)
    mse = best.numpy() / (255.0**2 * wanted.shape[1])
    differs = [_differing_share(state, stack) for state, stack in zip(states, stacks, strict=True)]
    return Closest(chosen, mse, stacks, np.array(differs))


def _centred(stacks: Stacks) -> torch.Tensor:
    """The colours of each state less ``MIDDLE``, one row a state."""
    return torch.from_numpy(stacks.reshape(len(stacks), -1)).to(torch.float32).sub_(MIDDLE)


def _squared_distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The squared distance of each row from each of ``others``, in float64, without rounding."""
    across = torch.zeros(len(rows), len(others), dtype=torch.float64)
    for one, other in zip(rows.split(EXACT, dim=1), others.split(EXACT, dim=1), strict=True):
        across += one @ other.T
    return _squares(rows)[:, None] + _squares(others)[None] - 2 * across


def _squares(rows: torch.Tensor) -> torch.Tensor:
    """The sum of squares of each row, likewise."""
    return torch.stack([part.square().sum(dim=1).double() for part in rows.split(EXACT, dim=1)]).sum(dim=0)


def _differing_share(state: np.ndarray, other: np.ndarray) -> float:
    difference = np.abs(state.astype(np.int16) - other.astype(np.int16))
    return float((difference > DIFFERS * 255).any(axis=-1).mean())

"""Novelty of synthesised states: the closest training state of each, and the share of pixels that differ (section 4.8).

The search is exact, in integers: ||a - b||^2 = ||a||^2 + ||b||^2 - 2 a.b over all training states.  128 is subtracted from
the colours, and dot products are computed over ``EXACT_TERMS`` colours at a time, whose sum float32 represents exactly:

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
"""A pixel differs if a colour differs by more than this share of the range (paper, table 2)."""
OFFSET = 128
"""The middle of the range of colours."""
EXACT_TERMS = 1024
"""Number of products of two colours, each minus ``OFFSET``, that float32 can sum without rounding."""
BATCH = 1024
"""Training states compared at once."""


@dataclass(frozen=True)
class Closest:
    """The closest training state of each synthesised one.

    Attributes:
        index: its index in the data set (n,).
        mse: mean squared error, colours in [0, 1] (n,).
        stacks: the training states (n, k, h, w, c).
        differing_share: share of pixels of the whole stack that differ by more than 25 % in a colour (n,).
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
    """Finds the closest recorded state to each synthesised one.

    Args:
        states: synthesised states (n, k, h, w, c).
        dataset: recorded states.
        indices: the recorded states to search.
        progress: called with the number of recorded states searched and their total.
    """
    rows = _centred(states)
    best = torch.full((len(states),), torch.inf, dtype=torch.float64)
    where = torch.zeros(len(states), dtype=torch.long)
    for at in range(0, len(indices), BATCH):
        distance, position = _squared_distances(rows, _centred(dataset.stacks(indices[at : at + BATCH]))).min(dim=1)
        better = distance < best
        best = torch.where(better, distance, best)
        where = torch.where(better, position + at, where)
        progress(min(at + BATCH, len(indices)), len(indices))
    chosen = indices[where.numpy()]
    stacks = dataset.stacks(chosen)
    mse = best.numpy() / (255.0**2 * rows.shape[1])
    differs = [_differing_share(state, stack) for state, stack in zip(states, stacks, strict=True)]
    return Closest(chosen, mse, stacks, np.array(differs))


def _centred(stacks: Stacks) -> torch.Tensor:
    """The colours of each state minus ``OFFSET``, one row per state."""
    return torch.as_tensor(stacks.reshape(len(stacks), -1)).to(torch.float32).sub_(OFFSET)


def _squared_distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The squared distance between each of ``rows`` and each of ``others``, in float64, without rounding."""
    products = torch.zeros(len(rows), len(others), dtype=torch.float64)
    for left, right in zip(torch.split(rows, EXACT_TERMS, dim=1), torch.split(others, EXACT_TERMS, dim=1), strict=True):
        products += left @ right.T
    return _squares(rows)[:, None] + _squares(others)[None] - 2 * products


def _squares(rows: torch.Tensor) -> torch.Tensor:
    """The sum of squares of each row, in float64, without rounding."""
    return torch.stack([part.square().sum(dim=1).double() for part in torch.split(rows, EXACT_TERMS, dim=1)]).sum(dim=0)


def _differing_share(state: np.ndarray, other: np.ndarray) -> float:
    difference = np.abs(state.astype(np.int16) - other.astype(np.int16))
    return float((difference > DIFFERS * 255).any(axis=-1).mean())

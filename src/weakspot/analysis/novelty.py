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
    recorded: Callable[[np.ndarray], Stacks],
    indices: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Closest:
    """Finds the closest recorded state to each synthesised one.

    Args:
        states: synthesised states (n, k, h, w, c).
        recorded: returns the recorded states with some indices, such as the method ``stacks`` of a data set.
        indices: the recorded states to search.
        progress: called with the number of recorded states searched and their total.
    """
    rows = _centred(states)
    best = torch.full((len(states),), torch.inf, dtype=torch.float64)
    where = torch.zeros(len(states), dtype=torch.long)
    for at in range(0, len(indices), BATCH):
        distance, position = _squared_distances(rows, _centred(recorded(indices[at : at + BATCH]))).min(dim=1)
        better = distance < best
        best = torch.where(better, distance, best)
        where = torch.where(better, position + at, where)
        progress(min(at + BATCH, len(indices)), len(indices))
    chosen = indices[where.numpy()]
    stacks = recorded(chosen)
    mse = best.numpy() / (255.0**2 * rows.shape[1])
    return Closest(chosen, mse, stacks, differing_share(states, stacks))


def differs_by_range(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which colours differ from others of the same shape by more than ``DIFFERS`` of the range."""
    return np.abs(colours.astype(np.int16) - others.astype(np.int16)) > DIFFERS * 255


def differs_relatively(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which colours differ from others of the same shape by more than ``DIFFERS`` of those, as section 4.8 says.

    Every colour differs from 0, however little.
    """
    return np.abs(colours.astype(np.int16) - others.astype(np.int16)) > DIFFERS * others.astype(np.float32)


def differing_share(
    states: Stacks, others: Stacks, differs: Callable[[np.ndarray, np.ndarray], np.ndarray] = differs_by_range
) -> np.ndarray:
    """The share of pixels of each state (n, k, h, w, c) in which any colour differs from that of another state (n,)."""
    shares = [differs(state, other).any(axis=-1).mean() for state, other in zip(states, others, strict=True)]
    return np.array(shares, np.float64)


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

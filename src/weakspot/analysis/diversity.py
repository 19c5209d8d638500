"""Diversity of a set of states in the agent's features.

The Vendi score (Friedman and Dieng 2023) is the effective number of different states: the exponential of the entropy of
the eigenvalues of K / n,

    VS = exp(-sum_i lambda_i log lambda_i),        K_ij = exp(-|f_i - f_j|^2 / (2 width^2)).

It is 1 if all states are identical, and n if no two are similar.  With the median distance of real states as the width, sets
for the same agent can be compared.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from weakspot.analysis.features import Features

linalg: Any = torch.linalg  # has no type hints


def typical_distance(real: Features) -> float:
    """The median distance between two real states in the agent's features."""
    distances = torch.pdist(real.double())
    return float(distances.median())


def vendi_score(states: Features, width: float) -> float:
    """The effective number of different states, 1 to n.

    Args:
        states: features of the states (n, f).
        width: of the Gaussian kernel; see :func:`typical_distance`.
    """
    kernel = torch.exp(-0.5 * (torch.cdist(states.double(), states.double()) / width).square())
    eigenvalues: Tensor = linalg.eigvalsh(kernel / len(states))
    values = eigenvalues.clamp_min(1e-12)
    return float(torch.exp(-(values * values.log()).sum()))


def mean_distance(states: Features) -> float:
    """The mean distance between two different states."""
    return float(torch.pdist(states.double()).mean())

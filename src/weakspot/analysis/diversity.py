"""How different the states of a set are, as the agent sees them.

The Vendi score (Friedman and Dieng 2023) is the effective number of different states: the exponential of the entropy of
the eigenvalues of K / n, with K the similarity matrix.  It is 1 where all are alike, and n where no two have anything in
common.  K is Gaussian in the distance of features, its width the median distance of real states, so that sets for the
same agent can be compared.
"""

from __future__ import annotations

import torch

from weakspot.analysis.features import Features


def typical_distance(real: Features) -> float:
    """The median distance of two real states in the agent's features."""
    distances = torch.pdist(real.double())
    return float(distances.median())


def vendi_score(found: Features, width: float) -> float:
    """The effective number of different states among ``found``, 1 to n."""
    kernel = torch.exp(-0.5 * (torch.cdist(found.double(), found.double()) / width).square())
    values = torch.linalg.eigvalsh(kernel / len(found)).clamp_min(1e-12)
    return float(torch.exp(-(values * values.log()).sum()))


def mean_distance(found: Features) -> float:
    """The mean distance of two different states."""
    return float(torch.pdist(found.double()).mean())

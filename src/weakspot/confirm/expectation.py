"""What the agent expects, calibrated on its own recorded play: on the discounted return over the next h decisions."""

from __future__ import annotations

import numpy as np

from weakspot.analysis.expectation import Expectation, fit_expectation, value_of
from weakspot.analysis.returns import horizon_returns
from weakspot.data.dataset import StateDataset, recorded_outputs

LEAST = 100
"""Recorded states with complete returns that the regression needs."""


def calibrate(dataset: StateDataset, horizon: int, gamma: float, *, lives: bool) -> Expectation | None:
    """Fits what the agent expects to recorded play; None if it expects nothing, or if too few returns are complete.

    Args:
        dataset: recorded play.
        horizon: h.
        gamma: discount of a decision.
        lives: whether a lost life ends a return.
    """
    everything = np.arange(len(dataset))
    own = value_of(recorded_outputs(dataset, everything), dataset.agent)
    if own is None:
        return None
    returns = horizon_returns(dataset, horizon, gamma, lives=lives)
    if np.count_nonzero(returns.complete) < LEAST:
        return None
    return fit_expectation(own[returns.complete], returns.values[returns.complete])

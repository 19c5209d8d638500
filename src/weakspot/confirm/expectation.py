"""What the agent expects, calibrated on its own recorded play: on the discounted return over the next h decisions,

G_i = sum_{t < h} gamma^t r_{i + t}.
"""

from __future__ import annotations

import numpy as np

from weakspot.analysis.expectation import Expectation, fit_expectation, value_of
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
    returns, complete = horizon_returns(dataset, horizon, gamma, lives=lives)
    if np.count_nonzero(complete) < LEAST:
        return None
    return fit_expectation(own[complete], returns[complete])


def horizon_returns(dataset: StateDataset, horizon: int, gamma: float, *, lives: bool) -> tuple[np.ndarray, np.ndarray]:
    """The discounted return of the next ``horizon`` decisions of each recorded state (n,), and whether it is complete.

    It ends with the episode, or with a life if ``lives``, and is incomplete if the recording ends first.
    """
    shape = dataset.streams, dataset.steps
    reward = dataset.reward.astype(np.float64).reshape(shape)
    ended = dataset.terminated | dataset.truncated
    ended = (ended | dataset.life_lost if lives else ended).reshape(shape)
    returns, alive = np.zeros(shape), np.ones(shape, bool)
    complete = np.zeros(shape, bool)
    for step in range(min(horizon, dataset.steps)):
        length = dataset.steps - step
        going = alive[:, :length]
        returns[:, :length] += np.where(going, gamma**step * reward[:, step:], 0.0)
        over = going & ended[:, step:]
        complete[:, :length] |= over
        alive[:, :length] &= ~ended[:, step:]
        alive[:, length:] = False
    if horizon <= dataset.steps:
        complete[:, : dataset.steps - horizon + 1] = True
    return returns.ravel(), complete.ravel()

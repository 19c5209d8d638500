"""What the agent expects, calibrated on its own recorded play.

The expectation is the critic's value, or the largest Q-value.  Its units are the agent's: clipped rewards, another discount.
An isotonic regression maps it to the discounted return over the next h decisions,

    E(s) = m(v(s)),    m = argmin_{m increasing} sum_i (m(v(s_i)) - G_i)^2,    G_i = sum_{t < h} gamma^t r_{i + t}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.data.dataset import StateDataset, recorded_outputs

LEAST = 100
"""Recorded states with complete returns that the regression needs."""


@dataclass(frozen=True)
class Expectation:
    """m, as values (n,) of the agent in increasing order and the calibrated returns (n,)."""

    values: np.ndarray
    returns: np.ndarray

    def __call__(self, output: AgentOutput, spec: AgentSpec) -> np.ndarray:
        """E(s) of states (b,)."""
        own = value_of(output, spec)
        assert own is not None
        return np.interp(own, self.values, self.returns)

    def rank(self, output: AgentOutput, spec: AgentSpec) -> np.ndarray:
        """The share of recorded states of which the agent expects less (b,)."""
        own = value_of(output, spec)
        assert own is not None
        return np.searchsorted(self.values, own) / len(self.values)


def value_of(output: AgentOutput, spec: AgentSpec) -> np.ndarray | None:
    """What the agent expects of states, in its own units (b,); None if it has neither a critic nor Q-values."""
    if output.value is not None:
        return output.value.detach().cpu().numpy().astype(np.float64)
    if spec.scores_are == "q-values":
        return output.scores.detach().amax(dim=1).cpu().numpy().astype(np.float64)
    return None


def calibrate(dataset: StateDataset, horizon: int, gamma: float, *, lives: bool) -> Expectation | None:
    """Fits m to recorded play; None if the agent has no expectation, or if too few returns are complete.

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
    from scipy import optimize  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

    order = np.argsort(own[complete], kind="stable")
    fitted = cast(Any, optimize).isotonic_regression(returns[complete][order])
    return Expectation(own[complete][order], np.asarray(fitted.x, np.float64))


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

"""The temperature tau of a policy's action values, fitted to returns, and how well these values rank real states.

A recorded decision took the action a and was followed by the return G.  By :mod:`weakspot.targets.policy_values`

    G - V(s) = tau (log pi_a(s) + H(pi(s))) + c + noise,

in which tau is a slope, fitted by least squares.  The constant c takes up what the critic is wrong by on average, such as
the cost of the collection's random actions.  These take part: without them only likely actions would be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.analysis.returns import Returns
from weakspot.data.dataset import StateDataset
from weakspot.errors import ConfigError
from weakspot.intervals import block_jackknife, scipy_stats

FEWEST = 100
"""Decisions that a fit needs."""
GIVE_TAU = "set --policy-values.tau, such as the weight of the entropy bonus in the agent's training, or use V- and V+"


@dataclass(frozen=True)
class Temperature:
    """tau, and where it comes from.

    Attributes:
        tau: the temperature.
        low, high: its 95 % interval; None if it was given.
        decisions: number of decisions that it was fitted to; 0 if it was given.
    """

    tau: float
    low: float | None
    high: float | None
    decisions: int


def fit_temperature(dataset: StateDataset, returns: Returns) -> Temperature:
    """Fits tau to the recorded returns of an actor-critic.

    Args:
        dataset: the recorded states.
        returns: that followed its states.

    Raises:
        ConfigError: the agent has no critic, there are too few complete returns, they or the policy's preferences do not
            vary, or the interval of tau is not above 0.
    """
    if dataset.value is None:
        raise ConfigError("a policy without a critic has no action values", todo="use T+-, or the names of actions")
    complete = returns.complete
    log_pi = dataset.scores[complete].astype(np.float64)
    entropy = -(np.exp(log_pi) * log_pi).sum(axis=1)
    preference = log_pi[np.arange(len(log_pi)), dataset.action[complete]] + entropy
    surplus = returns.values[complete] - dataset.value[complete]
    if len(surplus) < FEWEST:
        raise ConfigError(
            f"{len(surplus):,} recorded decisions have a complete return",
            expected=f"at least {FEWEST}",
            todo=f"collect more frames in fewer streams, or {GIVE_TAU}",
        )
    if not returns.values[complete].std() > 0 or not preference.std() > 0:
        what = "returns" if preference.std() > 0 else "preferences of the policy"
        raise ConfigError(
            f"tau cannot be fitted: the {what} are the same in all {len(surplus):,} recorded decisions",
            expected="states that differ",
            todo=GIVE_TAU,
        )

    def slope(chosen: np.ndarray) -> float:
        centred = preference[chosen] - preference[chosen].mean()
        return float((surplus[chosen] * centred).sum() / (centred**2).sum())

    tau, low, high = block_jackknife(slope, len(surplus))
    if low <= 0:
        raise ConfigError(
            "tau cannot be fitted: the recorded returns do not show that actions are better if the policy prefers them "
            f"(tau = {tau:.3g}, 95 % interval {low:.3g} to {high:.3g}, {len(surplus):,} decisions)",
            expected="an interval above 0",
            todo=GIVE_TAU,
        )
    return Temperature(tau, low, high, len(surplus))


def rank_correlation(values: np.ndarray, returns: Returns) -> float | None:
    """Spearman's rank correlation between values (n,) of all recorded states and the returns that followed, as far as these
    are complete; None if either does not vary."""
    complete = returns.complete
    if complete.sum() < 3 or not returns.values[complete].std() > 0 or not values[complete].std() > 0:
        return None
    return float(scipy_stats().spearmanr(values[complete], returns.values[complete]).statistic)

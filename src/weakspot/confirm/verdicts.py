"""Verdicts on groups of states, by rules that are fixed before the rollouts that decide.

    avoidable loss   the agent mostly loses, and a rescue leaves at least 25 points more of the rollouts without a loss, by
                     Fisher's exact test with p below 0.05 over the number of groups, for no less return, from two states or
                     more
    hopeless         the agent mostly loses, and the best rescue leaves less than 10 points more without a loss
    unfounded fear   the agent expects little, earns more than it expects, and loses no more often than elsewhere
    overconfidence   the agent expects much, earns less than it expects, and loses more often than elsewhere
    needless action  an action is called for, and doing without it costs neither return nor losses
    undecided        all else

The rollouts that decide have seeds of their own: what was chosen by other rollouts is not judged by these.
"""

from __future__ import annotations

import numpy as np

from weakspot.artifacts.weaknesses import Rate, Rescue, Verdict
from weakspot.confirm.statistics import fisher, mean_interval

LEVEL = 0.05
"""Probability of an error, over all groups together."""
LOSES = 0.5
"""Share of rollouts that are lost, at least, in a losing state."""
BETTER, NO_BETTER = 0.25, 0.10
"""Difference of shares of rollouts without a loss, at least for a rescue, and at most for a hopeless state."""
LEAST_STATES = 2
"""States, at least, in which a rescue comes in time; a single state is an anecdote, however many its rollouts."""
LITTLE, MUCH = 0.25, 0.5
"""Share of recorded states of which the agent expects less, at most where it expects little, and at least where much."""
TOLERANCE = 0.1
"""Return that may be lost without a needless action, in standard deviations of the return in control states."""


def of_loss(rate: Rate, rescue: Rescue, groups: int) -> Verdict:
    """The verdict on a group of losing states.

    Args:
        rate: of losses in the agent's own rollouts.
        rescue: the best one.
        groups: number of groups that are judged.
    """
    if rate.share < LOSES:
        return "undecided"
    gain = rescue.saved.share - (1.0 - rescue.own.share)
    if gain >= BETTER and rescue.p < LEVEL / max(groups, 1) and rescue.gain >= 0:
        return "avoidable loss" if rescue.saved.states >= LEAST_STATES else "undecided"
    return "hopeless" if gain < NO_BETTER else "undecided"


def of_expectation(surprise: np.ndarray, rank: np.ndarray, rate: Rate, controls: Rate, groups: int) -> Verdict:
    """The verdict on states of one target, by what the agent expects of them.

    Args:
        surprise: mean return of the rollouts from each state minus the expected one (n,).
        rank: share of recorded states of which the agent expects less (n,).
        rate: of losses from these states.
        controls: of losses from control states.
        groups: number of groups that are judged.
    """
    _, low, high = mean_interval(surprise)
    p = fisher(rate, controls)
    more = p < LEVEL / max(groups, 1) and rate.share > controls.share
    if float(rank.mean()) <= LITTLE and low > 0 and not more and rate.share <= controls.share:
        return "unfounded fear"
    if float(rank.mean()) >= MUCH and high < 0 and more:
        return "overconfidence"
    return "undecided"


def is_needless(gains: np.ndarray, own: Rate, without: Rate, spread: float) -> bool:
    """Whether an action makes nothing better.

    Args:
        gains: mean return without the action minus that with it, of each state (n,).
        own: losses with it.
        without: losses without it.
        spread: standard deviation of the return in control states.
    """
    _, low, _ = mean_interval(gains)
    return bool(low >= -TOLERANCE * spread and without.share <= own.share)

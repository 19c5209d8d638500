"""Shares of rollouts with intervals by state, and tests between two kinds of rollouts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weakspot.artifacts.weaknesses import Rate
from weakspot.confirm.rollouts import Rollout
from weakspot.intervals import TAIL, scipy_stats


def rate_of(by_state: Sequence[Sequence[Rollout]], *, kept: bool = False) -> Rate:
    """The share of rollouts that are lost, or that are not lost if ``kept``, with a 95 % interval.

    Rollouts from one state are alike.  So the interval is that of Clopper and Pearson for as many observations as there are
    states, whatever the number of rollouts from each; it is too wide if they are not alike.
    """
    counts = [sum(rollout.lost != kept for rollout in rollouts) for rollouts in by_state]
    return share(counts, [len(rollouts) for rollouts in by_state])


def share(counts: Sequence[int], totals: Sequence[int]) -> Rate:
    """``counts`` of ``totals``, one of each for every state, with the interval of :func:`rate_of`."""
    events, trials, states = sum(counts), sum(totals), len(totals)
    if not trials:
        return Rate(0, 0, 0, 0.0, 1.0)
    successes = states * events / trials
    beta = scipy_stats().beta
    low = 0.0 if events == 0 else float(beta.ppf(TAIL, successes, states - successes + 1))
    high = 1.0 if events == trials else float(beta.ppf(1 - TAIL, successes + 1, states - successes))
    return Rate(events, trials, states, low, high)


def fisher(first: Rate, second: Rate) -> float:
    """The two-sided p-value of Fisher's exact test that two shares of rollouts from the same states are equal."""
    if not first.trials or not second.trials:
        return 1.0
    table = [[first.events, first.trials - first.events], [second.events, second.trials - second.events]]
    return float(scipy_stats().fisher_exact(table)[1])


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean of values, one for each state, with Student's 95 % interval; infinite ends for fewer than two."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -np.inf, np.inf
    half = float(scipy_stats().t.ppf(1 - TAIL, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half

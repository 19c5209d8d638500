"""Confidence intervals of a mean, of a share, of a rate and of two rates' ratio, at 95 %."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

RESAMPLES = 10_000
GROUPS = 10
"""Of the jackknife."""
Z = 1.959964
T = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201,
    12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101,
}  # fmt: skip
"""The same quantile of Student's distribution, by its degrees of freedom."""
ENOUGH = 20
"""Values from which on the bootstrap's interval of a mean stands as it is; it holds 90 to 93 % then, and more of more."""
TAIL = 0.025


def bootstrap_mean(values: np.ndarray, generator: np.random.Generator) -> tuple[float, float, float]:
    """Mean, low and high end of the percentile bootstrap interval of the mean; of fewer than ``ENOUGH`` values the ends are
    moved away from the mean, see :func:`_as_few`."""
    ends = np.percentile(_resampled_means(values, generator), [2.5, 97.5])
    return _as_few(float(np.mean(values, dtype=np.float64)), ends, len(values))


def bootstrap_difference(
    values: np.ndarray, others: np.ndarray, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Mean of ``values`` minus that of ``others``, which are not paired with them, low and high end of its interval."""
    means = _resampled_means(values, generator) - _resampled_means(others, generator)
    ends = np.percentile(means, [2.5, 97.5])
    return _as_few(float(np.mean(values) - np.mean(others)), ends, min(len(values), len(others)))


def bootstrap_ratio(
    values: np.ndarray, others: np.ndarray, generator: np.random.Generator
) -> tuple[float, float, float] | None:
    """Mean of ``values`` over that of ``others``, which are paired with them, low and high end of its interval; None where
    the mean of ``others`` might not be above 0, since a ratio says nothing then."""
    pairs = np.stack([values, others], axis=1)
    means = _resampled_means(pairs, generator)
    if pairs[:, 1].mean() <= 0 or (means[:, 1] <= 0).any():
        return None
    ends = np.percentile(means[:, 0] / means[:, 1], [2.5, 97.5])
    return _as_few(float(pairs[:, 0].mean() / pairs[:, 1].mean()), ends, len(pairs))


def _as_few(mean: float, ends: np.ndarray, count: int) -> tuple[float, float, float]:
    """An interval by the bootstrap of ``count`` values, as wide as it has to be.

    The bootstrap takes the spread of few values for that of all there are, which is too narrow by sqrt((n - 1) / n), and the
    normal distribution for Student's: of three values its interval holds 73 %, of eight 88 %.  Both are put right.
    """
    if not 1 < count < ENOUGH:
        return mean, float(ends[0]), float(ends[1])
    wider = T[count - 1] / Z * math.sqrt(count / (count - 1))
    low, high = mean + wider * (ends - mean)
    return mean, float(low), float(high)


def _resampled_means(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Means of as many values, or rows of them, drawn with replacement, again and again."""
    values = np.asarray(values, dtype=np.float64)
    return values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)


def jackknife(
    statistic: Callable[[np.ndarray], float], count: int, generator: np.random.Generator
) -> tuple[float, float, float]:
    """A statistic of ``count`` things that is no mean of anything, low and high end of its interval.

    The delete-d jackknife (Shao and Wu 1989): ten groups of d are drawn that share nothing, and the statistic is
    taken without each in turn.  A bootstrap would not do where likeness counts, since it draws the same thing twice; and all
    groups are of one size, since a statistic may grow with the number of things.

    Args:
        statistic: of the things whose numbers it is given.
        count: two at least.
        generator: deals them.
    """
    order, groups, size = generator.permutation(count), min(GROUPS, count), max(count // GROUPS, 1)
    left_out = order[: groups * size].reshape(groups, size)
    without = np.array([statistic(np.setdiff1d(order, group)) for group in left_out])
    whole, spread = statistic(np.arange(count)), float(np.square(without - without.mean()).sum())
    half = T[groups - 1] * math.sqrt((count - size) / (size * groups) * spread)
    return whole, whole - half, whole + half


def wilson(successes: int, trials: int) -> tuple[float, float, float]:
    """Share, low and high end of Wilson's score interval."""
    share = successes / trials
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return share, low if successes else 0.0, high if successes < trials else 1.0


def poisson_rate(events: int, exposure: float) -> tuple[float, float, float]:
    """Events for each unit of ``exposure``, low and high end of Garwood's exact interval; without events, the low end is 0
    and the high end 3.69 over the exposure."""
    low = 0.0 if events == 0 else _expected_where(lambda mean: 1 - _poisson_up_to(events - 1, mean), rises=True)
    high = _expected_where(lambda mean: _poisson_up_to(events, mean), rises=False)
    return events / exposure, low / exposure, high / exposure


def poisson_ratio(events: int, exposure: float, others: int, of_others: float) -> tuple[float, float, float] | None:
    """A rate over another one, low and high end of its exact interval; None where there are no events of the other one.

    Of all events of both, how many are the first one's is binomial, and its share's interval that of Clopper and Pearson.

    Args:
        events: of the first rate, on an ``exposure`` above 0.
        others: of the second one, on the exposure ``of_others``.
    """
    if others == 0:
        return None
    total, scale = events + others, of_others / exposure
    low = 0.0 if events == 0 else _crossing(lambda share: _binomial_from(events, total, share), 0.0, 1.0, rises=True)
    high = _crossing(lambda share: 1 - _binomial_from(events + 1, total, share), 0.0, 1.0, rises=False)
    return events / others * scale, low / (1 - low) * scale, high / (1 - high) * scale


def _binomial_from(least: int, trials: int, share: float) -> float:
    """The probability of at least so many successes."""
    if not 0 < share < 1:
        return float(least <= (0 if share <= 0 else trials))
    there, not_there = math.log(share), math.log1p(-share)
    return sum(
        math.exp(
            math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
            + count * there + (trials - count) * not_there
        )
        for count in range(least, trials + 1)
    )  # fmt: skip


def _expected_where(tail: Callable[[float], float], *, rises: bool) -> float:
    """The mean at which a tail of the Poisson distribution holds 2.5 %."""
    high = 1.0
    while (tail(high) < TAIL) == rises:
        high *= 2
    return _crossing(tail, 0.0, high, rises=rises)


def _crossing(tail: Callable[[float], float], low: float, high: float, *, rises: bool) -> float:
    """Where a tail holds 2.5 %, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (tail(middle) < TAIL) == rises else (low, middle)
    return high


def _poisson_up_to(most: int, mean: float) -> float:
    """The probability of at most so many events where ``mean`` are expected."""
    return sum(math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) for count in range(most + 1))

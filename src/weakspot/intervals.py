"""Confidence intervals at 95 %: of a mean, a difference or a ratio of means, a share, a rate, and a ratio of two rates.

Each function returns the estimate, the low end and the high end.  The distributions are scipy's.  It is imported when it is
first needed, since that takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[Any]
"""Numbers (n,)."""
Interval: TypeAlias = tuple[float, float, float]
"""The estimate, the low end and the high end."""

RESAMPLES = 10_000
GROUPS = 10
"""Groups of the jackknife."""
LARGE_SAMPLE = 20
"""From this many values on, the bootstrap interval of a mean is not widened.  Its coverage is 90 to 93 % there, and higher
for more values."""
TAIL = 0.025
"""Probability on each side of an interval."""


def bootstrap_mean(values: Values, generator: np.random.Generator, tail: float = TAIL) -> Interval:
    """The mean of ``values`` with its percentile bootstrap interval, widened for fewer than :data:`LARGE_SAMPLE` values.

    Args:
        values: numbers (n,).
        generator: of the resampling.
        tail: probability on each side of the interval.
    """
    ends = np.percentile(_resampled_means(values, generator), [100 * tail, 100 * (1 - tail)])
    return _widened(float(np.mean(values, dtype=np.float64)), ends, len(values), tail)


def bootstrap_difference(values: Values, others: Values, generator: np.random.Generator) -> Interval:
    """The mean of ``values`` minus that of ``others``, which are not paired with them, with its bootstrap interval."""
    means = _resampled_means(values, generator) - _resampled_means(others, generator)
    ends = np.percentile(means, [100 * TAIL, 100 * (1 - TAIL)])
    return _widened(float(np.mean(values) - np.mean(others)), ends, min(len(values), len(others)))


def bootstrap_ratio(values: Values, others: Values, generator: np.random.Generator) -> Interval | None:
    """The mean of ``values`` divided by that of ``others``, which are paired with them, with its bootstrap interval.

    None if the mean of ``others`` may not be above 0: a ratio is meaningless then.
    """
    pairs = np.stack([values, others], axis=1)
    means = _resampled_means(pairs, generator)
    if pairs[:, 1].mean() <= 0 or (means[:, 1] <= 0).any():
        return None
    ends = np.percentile(means[:, 0] / means[:, 1], [100 * TAIL, 100 * (1 - TAIL)])
    return _widened(float(pairs[:, 0].mean() / pairs[:, 1].mean()), ends, len(pairs))


def _widened(estimate: float, ends: NDArray[np.float64], count: int, tail: float = TAIL) -> Interval:
    """A bootstrap interval of ``count`` values, its ends moved away from the estimate if the values are few.

    The bootstrap takes the spread of the sample for that of the population, which is too small by sqrt((n - 1) / n), and the
    normal distribution for Student's: its coverage is 73 % for three values and 88 % for eight.  Both are corrected.
    """
    if not 1 < count < LARGE_SAMPLE:
        return estimate, float(ends[0]), float(ends[1])
    factor = student_quantile(count - 1, tail) / normal_quantile(tail) * math.sqrt(count / (count - 1))
    low, high = estimate + factor * (ends - estimate)
    return estimate, float(low), float(high)


def _resampled_means(values: Values, generator: np.random.Generator) -> NDArray[np.float64]:
    """The means of :data:`RESAMPLES` samples, of the same size, drawn with replacement from values or rows of values."""
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[generator.integers(len(numbers), size=(RESAMPLES, len(numbers)))].mean(axis=1)


def jackknife(statistic: Callable[[NDArray[np.int64]], float], count: int, generator: np.random.Generator) -> Interval:
    """A statistic of ``count`` items that is not a mean, with the interval of the delete-d jackknife (Shao and Wu 1989).

    Ten disjoint groups of d items are drawn, and the statistic is computed without each of them in turn.  A bootstrap would
    be wrong for statistics of similarity, since it draws the same item twice; and all groups have the same size, since a
    statistic may grow with the number of items.

    Args:
        statistic: maps indices of items to the statistic of these items.
        count: at least two.
        generator: draws the groups.
    """
    return _jackknife(statistic, generator.permutation(count))


def block_jackknife(statistic: Callable[[NDArray[np.int64]], float], count: int) -> Interval:
    """:func:`jackknife` of items of which neighbours are alike, such as states in the order of time.

    The groups are stretches of neighbouring items, so that what is alike is left out together.

    Args:
        statistic: maps indices of items to the statistic of these items.
        count: at least two.
    """
    return _jackknife(statistic, np.arange(count))


def _jackknife(statistic: Callable[[NDArray[np.int64]], float], order: NDArray[np.int64]) -> Interval:
    """The jackknife that leaves out stretches of ``order``."""
    count = len(order)
    groups, size = min(GROUPS, count), max(count // GROUPS, 1)
    left_out = order[: groups * size].reshape(groups, size)
    without = np.array([statistic(np.setdiff1d(order, group)) for group in left_out])
    whole, spread = statistic(np.arange(count)), float(np.square(without - without.mean()).sum())
    half = student_quantile(groups - 1) * math.sqrt((count - size) / (size * groups) * spread)
    return whole, whole - half, whole + half


def wilson(successes: int, trials: int) -> Interval:
    """The share of successes with Wilson's score interval."""
    interval = scipy_stats().binomtest(successes, trials).proportion_ci(1 - 2 * TAIL, method="wilson")
    return successes / trials, float(interval.low), float(interval.high)


def poisson_rate(events: int, exposure: float) -> Interval:
    """Events for each unit of ``exposure`` with Garwood's exact interval.

    Without events, the low end is 0 and the high end is 3.69 / ``exposure``.
    """
    chi2 = scipy_stats().chi2
    low = 0.0 if events == 0 else float(chi2.ppf(TAIL, 2 * events)) / 2
    high = float(chi2.ppf(1 - TAIL, 2 * events + 2)) / 2
    return events / exposure, low / exposure, high / exposure


def poisson_ratio(events: int, exposure: float, others: int, other_exposure: float) -> Interval | None:
    """The ratio of two rates with its exact interval, or None if the second rate has no events.

    Given the total number of events, the number of the first rate's is binomial; its share has the interval of Clopper and
    Pearson.

    Args:
        events: of the first rate.
        exposure: of the first rate, above 0.
        others: events of the second rate.
        other_exposure: exposure of the second rate, above 0.
    """
    if others == 0:
        return None
    beta, scale = scipy_stats().beta, other_exposure / exposure
    low = 0.0 if events == 0 else float(beta.ppf(TAIL, events, others + 1))
    high = float(beta.ppf(1 - TAIL, events + 1, others))
    return events / others * scale, low / (1 - low) * scale, high / (1 - high) * scale


@cache
def student_quantile(degrees: int, tail: float = TAIL) -> float:
    """The quantile of Student's distribution above which it has the probability ``tail``, rounded to three decimals as in
    printed tables.

    Published intervals were computed with a table; rounding reproduces them bit for bit.
    """
    return round(float(scipy_stats().t.ppf(1 - tail, degrees)), 3)


@cache
def normal_quantile(tail: float = TAIL) -> float:
    """That of the normal distribution, rounded to six decimals, see :func:`student_quantile`."""
    return round(float(scipy_stats().norm.ppf(1 - tail)), 6)


def scipy_stats() -> Any:
    """``scipy.stats``, which has no type annotations."""
    from scipy import stats  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

    return cast(Any, stats)

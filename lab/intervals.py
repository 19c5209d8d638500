"""95 % intervals of measurements, as (value, low, high)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from weakspot.intervals import (
    bootstrap_difference,
    bootstrap_mean,
    bootstrap_ratio,
    poisson_rate,
    poisson_ratio,
    wilson,
)

IntervalOf = tuple[float, float, float]
"""A value and the ends of its interval."""


def ends_of(line: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The value and the ends of an interval in a record."""
    return line["mean"], line["low"], line["high"]


def share(flags: npt.ArrayLike) -> IntervalOf:
    """The share of flags (n,) that are set, with Wilson's interval; n must be positive."""
    array = np.asarray(flags, bool)
    return wilson(int(array.sum()), len(array))


def share_of(count: int, among: int) -> IntervalOf | None:
    """``count`` of ``among`` as a share, with Wilson's interval; None of nothing."""
    return wilson(count, among) if among else None


def share_if_any(flags: npt.ArrayLike) -> IntervalOf | None:
    """The same; None if there are no flags."""
    array = np.asarray(flags, bool)
    return share_of(int(array.sum()), len(array))


def mean(values: npt.ArrayLike, generator: np.random.Generator) -> IntervalOf:
    """The mean of values (n,), with its bootstrap interval."""
    return bootstrap_mean(np.asarray(values), generator)


def mean_difference(values: npt.ArrayLike, others: npt.ArrayLike, generator: np.random.Generator) -> IntervalOf:
    """The mean of values minus the mean of independent others, with its bootstrap interval."""
    return bootstrap_difference(np.asarray(values), np.asarray(others), generator)


def ratio_of_sums(sums: npt.ArrayLike, counts: npt.ArrayLike, generator: np.random.Generator) -> IntervalOf | None:
    """The sum of ``sums`` over that of ``counts``, which belong together in pairs, with its bootstrap interval."""
    return bootstrap_ratio(np.asarray(sums), np.asarray(counts), generator)


def rate(events: int, exposure: float) -> IntervalOf | None:
    """Events per unit of exposure, with the exact Poisson interval; None without exposure."""
    return poisson_rate(events, exposure) if exposure else None


def rate_ratio(events: int, exposure: float, other_events: int, other_exposure: float) -> IntervalOf | None:
    """The ratio of two Poisson rates, with its exact interval; None without exposure, or if the other rate is 0."""
    if not (exposure and other_exposure):
        return None
    return poisson_ratio(events, exposure, other_events, other_exposure)

"""Intervals, compared with printed tables and with their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakspot.intervals import (
    bootstrap_mean,
    normal_quantile,
    poisson_rate,
    poisson_ratio,
    student_quantile,
    wilson,
)


def test_quantiles_match_printed_tables():
    assert [student_quantile(degrees) for degrees in (1, 2, 7, 9, 18)] == [12.706, 4.303, 2.365, 2.262, 2.101]
    assert normal_quantile() == 1.959964
    assert student_quantile(7, 0.005) == 3.499 and normal_quantile(0.005) == 2.575829


@given(st.integers(0, 60), st.integers(1, 60))
def test_ends_of_wilsons_interval_match_the_score_test(successes, more):
    """|p - share| = z sqrt(p (1 - p) / n) at both ends, except at the ends of [0, 1]."""
    trials = successes + more
    share, low, high = wilson(successes, trials)
    assert share == successes / trials
    ends = ([low] if successes else []) + [high]
    for end in ends:
        assert abs(end - share) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / trials), rel=1e-6)
    assert low > 0 or not successes


@given(st.integers(0, 40), st.floats(0.1, 100.0))
def test_ends_of_garwoods_interval_have_tails_of_two_and_a_half_percent(events, exposure):
    def up_to(most: int, mean: float) -> float:
        return sum(math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) for count in range(most + 1))

    rate, low, high = poisson_rate(events, exposure)
    assert rate == events / exposure and low <= rate < high
    assert up_to(events, high * exposure) == pytest.approx(0.025, rel=1e-6)
    assert low == 0.0 if events == 0 else 1 - up_to(events - 1, low * exposure) == pytest.approx(0.025, rel=1e-6)


@given(st.integers(0, 20), st.integers(1, 20))
def test_the_ends_of_a_ratio_have_binomial_tails_of_two_and_a_half_percent(events, others):
    def at_least(least: int, share: float) -> float:
        total = events + others
        return sum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(least, total + 1))

    interval = poisson_ratio(events, 2.0, others, 3.0)
    assert interval is not None
    low, high = (end / 1.5 / (1 + end / 1.5) for end in interval[1:])
    assert at_least(events + 1, high) == pytest.approx(0.975, rel=1e-6)
    assert low == 0.0 if events == 0 else at_least(events, low) == pytest.approx(0.025, rel=1e-6)


def test_only_intervals_of_few_values_are_widened():
    values = np.arange(19.0)
    _, low, high = bootstrap_mean(values, np.random.default_rng(0))
    means = values[np.random.default_rng(0).integers(19, size=(10_000, 19))].mean(axis=1)
    ends = np.percentile(means, [2.5, 97.5])
    factor = 2.101 / 1.959964 * math.sqrt(19 / 18)
    assert (low, high) == pytest.approx(tuple(9.0 + factor * (ends - 9.0)), rel=1e-12)
    twenty = np.arange(20.0)
    means = twenty[np.random.default_rng(0).integers(20, size=(10_000, 20))].mean(axis=1)
    assert bootstrap_mean(twenty, np.random.default_rng(0)) == (9.5, *np.percentile(means, [2.5, 97.5]))

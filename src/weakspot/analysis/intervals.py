"""Confidence intervals of a mean and of a share, at 95 %."""

from __future__ import annotations

import math

import numpy as np

RESAMPLES = 10_000
Z = 1.959964


def bootstrap_mean(values: np.ndarray, generator: np.random.Generator) -> tuple[float, float, float]:
    """Mean, low and high end of the percentile bootstrap interval of the mean."""
    low, high = np.percentile(_resampled_means(values, generator), [2.5, 97.5])
    return float(np.mean(values, dtype=np.float64)), float(low), float(high)


def bootstrap_difference(
    values: np.ndarray, others: np.ndarray, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Mean of ``values`` minus that of ``others``, which are not paired with them, low and high end of its interval."""
    means = _resampled_means(values, generator) - _resampled_means(others, generator)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(np.mean(values) - np.mean(others)), float(low), float(high)


def _resampled_means(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Means of as many values drawn with replacement, again and again."""
    values = np.asarray(values, dtype=np.float64)
    return values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)


def wilson(successes: int, trials: int) -> tuple[float, float, float]:
    """Share, low and high end of Wilson's score interval."""
    share = successes / trials
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    return share, max(0.0, centre - half), min(1.0, centre + half)

"""Confidence intervals of a mean and of a share, at 95 %."""

from __future__ import annotations

import math

import numpy as np

RESAMPLES = 10_000
Z = 1.959964


def bootstrap_mean(values: np.ndarray, generator: np.random.Generator) -> tuple[float, float, float]:
    """Mean, low and high end of the percentile bootstrap interval of the mean."""
    values = np.asarray(values, dtype=np.float64)
    means = values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def bootstrap_difference(
    values: np.ndarray, others: np.ndarray, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Mean of ``values`` minus that of ``others``, which are not paired with them, low and high end of its interval."""
    means = [
        sample[generator.integers(len(sample), size=(RESAMPLES, len(sample)))].mean(axis=1)
        for sample in (np.asarray(values, np.float64), np.asarray(others, np.float64))
    ]
    low, high = np.percentile(means[0] - means[1], [2.5, 97.5])
    return float(np.mean(values) - np.mean(others)), float(low), float(high)


def wilson(successes: int, trials: int) -> tuple[float, float, float]:
    """Share, low and high end of Wilson's score interval."""
    share = successes / trials
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    return share, max(0.0, centre - half), min(1.0, centre + half)

"""Fits the surplus: an estimate of how much more the agent gets than it expects, from its own features.

With v(s) what the agent expects, E its calibration (:mod:`weakspot.analysis.expectation`), G the returns that followed
recorded states, and phi their standardised features, a ridge regression

    w, b = argmin sum_i (w . phi(s_i) + b - (G_i - E(s_i)))^2 / n + strength |w|^2

is fitted to recorded play.  It is judged by play that it was not fitted to: the recording is divided into stretches, and in
each of them the estimate, and E, are those fitted to all others.  The strength is the one that is best there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from weakspot.analysis.expectation import Expectation, fit_expectation
from weakspot.analysis.returns import Returns
from weakspot.errors import ConfigError
from weakspot.intervals import block_jackknife

FEWEST = 500
"""Recorded states with a complete return that the fit needs."""
STRETCHES = 5
"""Parts of the recording; each is estimated by a fit to all others."""
STRENGTHS = (0.1, 1.0, 10.0)
"""Penalties that are tried."""
MOST_FITTED = 10_000
"""States that the regression is fitted to, evenly spaced: neighbours are nearly alike."""
MOST_FEATURES = 1_024
"""If there are more features, this many random sums of them take their place, which keeps the fit within seconds."""
SHARE = 0.05
"""Share of the states with the lowest estimates whose returns are reported."""
USE_OTHERS = "collect more frames, or use other targets"

linalg: Any = np.linalg


@dataclass(frozen=True)
class FittedSurplus:
    """The surplus, w . phi(s) + b for features phi(s) without units, and how good it is.

    Attributes:
        weights: w (f,).
        offset: b.
        strength: of the penalty.
        correlation, low, high: between the estimate and G - E(s), where neither was fitted, with a 95 % interval.
        states: number of states that these numbers are about.
        expected, got: means of E(s) and G over the share :data:`SHARE` of these states with the lowest estimates.
    """

    weights: Float[np.ndarray, "f"]
    offset: float
    strength: float
    correlation: float
    low: float
    high: float
    states: int
    expected: float
    got: float


def fit_surplus(features: np.ndarray, own: np.ndarray | None, returns: Returns) -> FittedSurplus:
    """Fits the surplus to recorded play.

    Args:
        features: of all recorded states (n, f), in their order.
        own: what the agent expected of them (n,), in its own units; None if it expects nothing.
        returns: that followed them.

    Raises:
        ConfigError: the agent expects nothing, there are too few complete returns, they do not vary, or the estimate does
            not agree with play that it was not fitted to.
    """
    if own is None:
        raise ConfigError(
            "an agent without Q-values and without a critic expects nothing", todo="use other targets, such as the actions"
        )
    complete = np.flatnonzero(returns.complete)
    if len(complete) < FEWEST:
        raise ConfigError(
            f"{len(complete):,} recorded states have a complete return",
            expected=f"at least {FEWEST}",
            todo=f"collect more frames in fewer streams, {USE_OTHERS}",
        )
    chosen = complete[:: -(-len(complete) // MOST_FITTED)]
    features, own, got = features[chosen], own[chosen], returns.values[chosen]
    if not got.std() > 0:
        raise ConfigError(
            f"the returns are the same in all {len(complete):,} recorded states, so nothing is expected wrongly",
            expected="returns that differ",
            todo=USE_OTHERS,
        )
    sums = _sums(features)
    features = features @ sums
    estimates, expected = _estimates_elsewhere(features, own, got)
    errors = np.square(estimates - (got - expected)).mean(axis=1)
    best = int(errors.argmin())
    estimate, surplus = estimates[best], got - expected

    def correlation(states: np.ndarray) -> float:
        return float(np.corrcoef(estimate[states], surplus[states])[0, 1])

    value, low, high = block_jackknife(correlation, len(surplus))
    if not low > 0:
        raise ConfigError(
            "recorded play does not show where the agent expects too much: the estimate and the return less what the agent "
            f"expected have the correlation {value:.2g} (95 % interval {low:.2g} to {high:.2g}) in {len(surplus):,} states "
            "that it was not fitted to",
            expected="an interval above 0",
            todo=USE_OTHERS,
        )
    lowest = estimate.argsort(kind="stable")[: max(round(SHARE * len(estimate)), 1)]
    _, ((weights, offset),) = _fitted(features, own, got, (STRENGTHS[best],))
    means = float(expected[lowest].mean()), float(got[lowest].mean())
    return FittedSurplus(sums @ weights, offset, STRENGTHS[best], min(value, 1.0), low, high, len(surplus), *means)


def _estimates_elsewhere(features: np.ndarray, own: np.ndarray, got: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surplus (strengths, n) and the expectation (n,) of each state, by fits to the other stretches."""
    stretch = np.arange(len(got)) * STRETCHES // len(got)
    estimates, expected = np.zeros((len(STRENGTHS), len(got))), np.zeros(len(got))
    for number in range(STRETCHES):
        inside, others = stretch == number, stretch != number
        expectation, fits = _fitted(features[others], own[others], got[others], STRENGTHS)
        expected[inside] = expectation.calibrated(own[inside])
        for row, (weights, offset) in enumerate(fits):
            estimates[row, inside] = features[inside] @ weights + offset
    return estimates, expected


def _fitted(
    features: np.ndarray, own: np.ndarray, got: np.ndarray, strengths: tuple[float, ...]
) -> tuple[Expectation, list[tuple[np.ndarray, float]]]:
    """The expectation, and weights (g,) and offset of the surplus for each strength."""
    expectation = fit_expectation(own, got)
    return expectation, _ridge(features, got - expectation.calibrated(own), strengths)


def _sums(features: np.ndarray) -> Float[np.ndarray, "f g"]:
    """Matrix that divides features (n, f) by their spread; those that do not vary become 0.  Of many, it also takes
    :data:`MOST_FEATURES` sums with random weights."""
    spread = features.std(axis=0, dtype=np.float64)
    varies = spread > 1e-6 * max(float(spread.max()), 1e-12)
    scale = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0)
    count = int(np.count_nonzero(varies))
    if count <= MOST_FEATURES:
        chosen = np.zeros((len(scale), count))
        chosen[varies, np.arange(count)] = scale[varies]
        return chosen
    random = np.random.default_rng(0).normal(scale=1.0 / np.sqrt(count), size=(len(scale), MOST_FEATURES))
    return scale[:, None] * random


def _ridge(features: np.ndarray, residual: np.ndarray, strengths: tuple[float, ...]) -> list[tuple[np.ndarray, float]]:
    """Weights (g,) and offset of each strength."""
    mean = features.mean(axis=0)
    centred = features - mean
    values, vectors = linalg.eigh(centred.T @ centred / len(centred))
    along = vectors.T @ (centred.T @ (residual - residual.mean()) / len(centred))
    fits: list[tuple[np.ndarray, float]] = []
    for strength in strengths:
        weights = vectors @ (along / (np.maximum(values, 0.0) + strength))
        fits.append((weights, float(residual.mean() - mean @ weights)))
    return fits

"""What the agent expects of states, in its own units and calibrated on returns.

The expectation v is the critic's value, or the largest Q-value.  Its units are the agent's: clipped rewards, another
discount.  An isotonic regression maps it to returns,

    E(s) = m(v(s)),    m = argmin_{m increasing} sum_i (m(v(s_i)) - G_i)^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from weakspot.agents.base import AgentOutput, AgentSpec


def fit_expectation(values: np.ndarray, returns: np.ndarray) -> Expectation:
    """Fits m to what the agent expected of states (n,) and the returns that followed them (n,)."""
    optimize: Any = import_module("scipy.optimize")  # has no types
    levels, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.bincount(which, returns) / counts
    fitted = optimize.isotonic_regression(means, weights=counts)
    return Expectation(levels, np.asarray(fitted.x, np.float64), counts)


@dataclass(frozen=True)
class Expectation:
    """m.

    Attributes:
        values: that the agent expected of recorded states, each once, in increasing order (n,).
        returns: the calibrated returns (n,).
        counts: the number of recorded states of which it expected each value (n,).
    """

    values: np.ndarray
    returns: np.ndarray
    counts: np.ndarray

    def __call__(self, output: AgentOutput, spec: AgentSpec) -> np.ndarray:
        """E(s) of states (b,)."""
        own = value_of(output, spec)
        assert own is not None
        return self.calibrated(own)

    def calibrated(self, own: np.ndarray) -> np.ndarray:
        """m of what the agent expects (b,)."""
        return np.interp(own, self.values, self.returns)

    def rank(self, output: AgentOutput, spec: AgentSpec) -> np.ndarray:
        """The share of recorded states of which the agent expects less (b,)."""
        own = value_of(output, spec)
        assert own is not None
        below = np.append(0, self.counts.cumsum())
        return below[np.searchsorted(self.values, own)] / below[-1]


def value_of(output: AgentOutput, spec: AgentSpec) -> np.ndarray | None:
    """What the agent expects of states, in its own units (b,); None if it has neither a critic nor Q-values."""
    if output.value is not None:
        return output.value.detach().cpu().numpy().astype(np.float64)
    if spec.scores_are == "q-values":
        return output.scores.detach().amax(dim=1).cpu().numpy().astype(np.float64)
    return None

"""What the agent expects of states, in its own units and calibrated on returns.

The expectation v is the critic's value, or the largest Q-value.  Its units are the agent's: clipped rewards, another
discount.  An isotonic regression maps it to returns,

    E(s) = m(v(s)),    m = argmin_{m increasing} sum_i (m(v(s_i)) - G_i)^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from weakspot.agents.base import AgentOutput, AgentSpec


def fit_expectation(values: np.ndarray, returns: np.ndarray) -> Expectation:
    """Fits m to what the agent expected of states (n,) and the returns that followed them (n,)."""
    from scipy import optimize  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

    order = np.argsort(values, kind="stable")
    fitted = cast(Any, optimize).isotonic_regression(returns[order])
    return Expectation(values[order], np.asarray(fitted.x, np.float64))


@dataclass(frozen=True)
class Expectation:
    """m, as values (n,) of the agent in increasing order and the calibrated returns (n,)."""

    values: np.ndarray
    returns: np.ndarray

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
        return np.searchsorted(self.values, own) / len(self.values)


def value_of(output: AgentOutput, spec: AgentSpec) -> np.ndarray | None:
    """What the agent expects of states, in its own units (b,); None if it has neither a critic nor Q-values."""
    if output.value is not None:
        return output.value.detach().cpu().numpy().astype(np.float64)
    if spec.scores_are == "q-values":
        return output.scores.detach().amax(dim=1).cpu().numpy().astype(np.float64)
    return None

"""Retrieval: the recorded states s_t with the lowest T(A(s_t)), at least ``gap`` decisions apart within each rollout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.search.method import SearchResult, Sources, recorded_states, require_count, select_spaced
from weakspot.targets.base import Target

GAP = 20
"""Minimum distance in decisions; states closer in time are nearly the same."""


@dataclass(frozen=True)
class Retrieval:
    """The best states of the rollouts.

    Attributes:
        gap: minimum distance between two of them, in decisions.
        name: see :class:`weakspot.search.method.Method`.
    """

    gap: int = GAP
    name: str = "retrieval"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`; deterministic, ``seed`` is ignored."""
        ranked = np.argsort(target(sources.outputs).numpy(), kind="stable")
        stream, time = sources.dataset.stream[sources.indices], sources.dataset.time[sources.indices]
        chosen = select_spaced(ranked, stream, time, count, self.gap)
        return recorded_states(sources, require_count(chosen, count, f"that are {self.gap} decisions apart"), target)

"""Retrieval: the real states that are best under the target, as far apart in time as different situations are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.search.method import Found, Sources, enough, of_rollouts, select_spaced
from weakspot.targets.base import Target

GAP = 20
"""Decisions from one to the next; states closer in time show one situation."""


@dataclass(frozen=True)
class Retrieval:
    """The best states of the rollouts.

    Attributes:
        gap: decisions that they are apart at least.
        name: see :class:`weakspot.search.method.Method`.
    """

    gap: int = GAP
    name: str = "retrieval"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.search.method.Method`; nothing here is random."""
        ranked = np.argsort(target(sources.answers).numpy(), kind="stable")
        stream, time = sources.dataset.stream[sources.indices], sources.dataset.time[sources.indices]
        chosen = select_spaced(ranked, stream, time, count, self.gap)
        return of_rollouts(sources, enough(chosen, count, f"that are {self.gap} decisions apart"), target)

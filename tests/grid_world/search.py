"""A method: the best of a random half of the recorded states."""

from __future__ import annotations

import numpy as np

from weakspot.search.method import SearchResult, Sources, recorded_states, require_count


class HalfSearch:
    """Sorts a random half of the recorded states by their energy T(A(s))."""

    name = "half"

    def __call__(self, sources: Sources, target, count: int, seed: int) -> SearchResult:
        chosen = np.random.default_rng(seed).permutation(len(sources.indices))[: len(sources.indices) // 2]
        energies = target(sources.outputs).numpy()
        ranked = chosen[np.argsort(energies[chosen], kind="stable")]
        return recorded_states(sources, require_count(ranked[:count], count, "in half of the recorded states"), target)

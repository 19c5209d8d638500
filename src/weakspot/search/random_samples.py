"""Random samples of the state model, regardless of the target:

s = g(u),   u ~ N(0, I).
"""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.analysis.samples import draw_samples
from weakspot.search.method import Cost, SearchResult, Sources, perceive_batched
from weakspot.targets.base import Target


@dataclass(frozen=True)
class RandomSamples:
    """The first ``count`` samples.

    Attributes:
        name: see :class:`weakspot.search.method.Method`.
    """

    name: str = "random samples"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`."""
        state = draw_samples(sources.model, count, seed)
        output = perceive_batched(sources.perceive, state)
        return SearchResult(state, output, target(output), Cost(model=count, agent=count))

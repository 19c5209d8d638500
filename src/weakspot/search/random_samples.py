"""Random samples of the state model: what it makes when nothing is wanted of it."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.analysis.samples import draw
from weakspot.search.method import Cost, Found, Sources, answered
from weakspot.targets.base import Target


@dataclass(frozen=True)
class RandomSamples:
    """g(u), u ~ N(0, I).

    Attributes:
        name: see :class:`weakspot.search.method.Method`.
    """

    name: str = "random samples"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.search.method.Method`."""
        state = draw(sources.model, count, seed)
        output = answered(sources.perceive, state)
        return Found(state, output, target(output), Cost(model=count, agent=count))

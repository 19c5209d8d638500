"""Algorithm 1 of the paper (:mod:`weakspot.search.algorithm_1`) as one method among the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from weakspot.data.dataset import as_state
from weakspot.search.algorithm_1 import SearchDistribution, measure_scale, synthesize
from weakspot.search.config import SynthesisConfig
from weakspot.search.method import BACKWARD, Cost, Found, Sources
from weakspot.search.starts import starts
from weakspot.targets.base import Target

PASSES = {"samples": 3, "data": 2, "prior": 0}
"""Passes through the model that a candidate costs: a sample is decoded, encoded, and decoded again; a real state is encoded
and decoded.  Candidates that serve several targets are counted for each of them."""


@dataclass(frozen=True)
class AlgorithmOne:
    """The search by gradients in the latent space.

    Attributes:
        config: of the search; its number of states and its seed are set by each call.
        name: see :class:`weakspot.search.method.Method`.
    """

    config: SynthesisConfig = field(default_factory=SynthesisConfig)
    name: str = "Algorithm 1"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.search.method.Method`."""
        config = replace(self.config, states=count, seed=seed)
        begin = _begin(sources, config)
        known = measure_scale(target, sources.answers)
        found = synthesize(sources.model, sources.perceive, target, begin(target), config, known)
        steps = found.spent * (1 + BACKWARD) + config.begun
        tried = (
            min(config.candidates, len(sources.indices)) if config.start == "data" else max(config.candidates, config.begun)
        )
        asked = 0 if config.start == "prior" else tried
        cost = Cost(model=steps + PASSES[config.start] * asked, agent=steps + asked)
        return Found(found.state, found.output, found.target, cost)


def forget_candidates() -> None:
    """Lets go of the candidates of the last call, and of what they were made from."""
    _begin.cache_clear()


@lru_cache(maxsize=1)
def _begin(sources: Sources, config: SynthesisConfig) -> Callable[[Target], SearchDistribution]:
    """Where searches begin; the same candidates serve one target after another."""
    dataset = sources.dataset
    return starts(sources.model, sources.perceive, config, lambda i: as_state(dataset.stacks(i)), sources.indices)

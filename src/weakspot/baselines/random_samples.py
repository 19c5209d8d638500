"""Random samples of the state model: what it makes when nothing is wanted of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from weakspot.baselines.method import BATCH, Cost, Found, Sources, answered
from weakspot.targets import Target


@dataclass(frozen=True)
class RandomSamples:
    """g(u), u ~ N(0, I).

    Attributes:
        name: see :class:`weakspot.baselines.method.Method`.
    """

    name: str = "random samples"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.baselines.method.Method`."""
        model = sources.model
        noise = torch.randn(count, model.latent, generator=torch.Generator().manual_seed(seed)).to(model.device)
        with torch.no_grad():
            state = torch.cat([model.generate(part) for part in noise.split(BATCH)])
        output = answered(sources.perceive, state)
        return Found(state, output, target(output), Cost(model=count, agent=count))

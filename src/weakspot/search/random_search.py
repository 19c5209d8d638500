"""Random search in the latent space: many samples of the state model, of which the best are kept.

With as many passes through the networks as a search by gradients had, it says what the gradients are good for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from weakspot.agents.base import AgentOutput, concat_outputs
from weakspot.errors import ConfigError
from weakspot.search.method import BATCH, Cost, Found, Sources
from weakspot.targets.base import Target


@dataclass(frozen=True)
class RandomSearch:
    """The best of ``samples`` random samples.

    Attributes:
        samples: how many are drawn for all states together; each costs one pass through the model and one through the
            agent.
        name: see :class:`weakspot.search.method.Method`.
    """

    samples: int
    name: str = "random search"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.search.method.Method`.

        Raises:
            ConfigError: fewer samples are drawn than states are wanted.
        """
        if self.samples < count:
            raise ConfigError(f"a random search among {self.samples} samples", expected=f"at least the {count} wanted")
        model, generator = sources.model, torch.Generator().manual_seed(seed)
        noise = torch.empty(0, model.latent, device=model.device)
        output: AgentOutput | None = None
        with torch.no_grad():
            for at in range(0, self.samples, BATCH):
                fresh = torch.randn(min(BATCH, self.samples - at), model.latent, generator=generator).to(model.device)
                answer = sources.perceive(model.generate(fresh))
                noise = torch.cat([noise, fresh])
                output = answer if output is None else concat_outputs([output, answer])
                order = target(output).argsort(stable=True)[:count]  # the best so far
                noise, output = noise[order], output.rows(order)
            assert output is not None
            state = torch.cat([model.generate(part) for part in noise.split(BATCH)])
        return Found(state, output, target(output), Cost(model=self.samples + count, agent=self.samples))

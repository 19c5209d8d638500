"""Random search in the latent space: the best of many random samples of the state model,

    u_1, ..., u_N ~ N(0, I),   keep the ``count`` samples with the lowest T(A(g(u_i))).

With N equal to the passes that Algorithm 1 spends, it shows what the gradients contribute.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from weakspot.agents.base import AgentOutput, concat_outputs
from weakspot.errors import ConfigError
from weakspot.search.method import BATCH, Cost, SearchResult, Sources
from weakspot.targets.base import Target


@dataclass(frozen=True)
class RandomSearch:
    """The best of ``samples`` random samples.

    Attributes:
        samples: N, for all states together; each costs one pass through the state model and one through the agent.
        name: see :class:`weakspot.search.method.Method`.
    """

    samples: int = 4096
    name: str = "random search"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`.

        Raises:
            ConfigError: ``samples`` is smaller than ``count``.
        """
        if self.samples < count:
            raise ConfigError(
                f"a random search among {self.samples} samples for {count} states",
                expected=f"at least {count} samples",
                todo="ask for fewer states, or draw more samples",
            )
        model, generator = sources.model, torch.Generator().manual_seed(seed)
        noise = torch.empty(0, model.latent, device=model.device)
        output: AgentOutput | None = None
        with torch.no_grad():
            for at in range(0, self.samples, BATCH):
                fresh = torch.randn(min(BATCH, self.samples - at), model.latent, generator=generator).to(model.device)
                fresh_output = sources.perceive(model.generate(fresh))
                noise = torch.cat([noise, fresh])
                output = fresh_output if output is None else concat_outputs([output, fresh_output])
                order = target(output).argsort(stable=True)[:count]  # the best so far
                noise, output = noise[order], output.rows(order)
            assert output is not None
            state = torch.cat([model.generate(part) for part in torch.split(noise, BATCH)])
        return SearchResult(state, output, target(output), Cost(model=self.samples + count, agent=self.samples))

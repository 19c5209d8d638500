"""Descent in the latents of the state model with a denoising autoencoder as the prior (Nguyen et al. 2017, "plug and play
generative networks"), which the paper cites as an alternative to regularisers.

    R = argmin_R  E |R(y + sigma e) - y|^2,   y the latents of recorded states, e ~ N(0, I)
    repeat:  y <- y + pull (R(y) - y) - step unit(gradient of T(A(g(y)))),    from y ~ N(0, I)

with unit(g) = g / rms(g) for each state.  (R(y) - y) / sigma^2 approaches the gradient of the logarithm of the latents'
density (Alain and Bengio 2014), so that the first term leads to likely states and the second to those of a low target.  The
latents are shifted and scaled to a mean of 0 and a standard deviation of 1 in each dimension.  Algorithm 1 has a KL
divergence in the space of N(0, I) instead, and no denoiser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakspot.data.dataset import as_state
from weakspot.search.energy import check_differentiable, energy_gradients, unit
from weakspot.search.method import BACKWARD, BATCH, Cost, SearchResult, Sources, perceive_batched
from weakspot.system.checks import check_not_negative, check_positive
from weakspot.targets.base import Target
from weakspot.types import Latent, State

WIDTH, TRAINING_BATCH, TRAINING_RATE = 512, 256, 1e-3
"""Hidden units of the denoiser; batch size and learning rate of its training."""


@dataclass(frozen=True)
class DenoisingPrior:
    """Descent in latent space with a denoiser of the latents.

    Attributes:
        steps: of the descent.
        step: root mean square of the change of y in a step due to the target.
        pull: share of the way to the denoised y in a step.
        sigma: standard deviation of the noise that the denoiser learns to remove.
        examples: recorded states, at most, whose latents the denoiser is trained on.
        training_steps: of the denoiser.
        name: see :class:`weakspot.search.method.Method`.

    Raises:
        ConfigError: a number is not positive; ``pull`` may be 0.
    """

    steps: int = 200
    step: float = 0.03
    pull: float = 0.1
    sigma: float = 0.5
    examples: int = 10_000
    training_steps: int = 2_000
    name: str = "denoising prior"

    def __post_init__(self) -> None:
        check_positive(self, "steps", "step", "sigma", "examples", "training_steps")
        check_not_negative(self, "pull")

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`."""
        generator = torch.Generator().manual_seed(seed)
        latents = self._latents(sources, seed)
        mean, spread = latents.mean(dim=0), latents.std(dim=0, correction=0).clamp_min(1e-6)
        denoise = train_denoiser((latents - mean) / spread, self.sigma, self.training_steps, generator)

        def draw(y: Latent) -> State:
            return sources.model.decode(mean + spread * y)

        starts = torch.randn(count, latents.shape[1], generator=generator).to(latents)
        parts = [self._descend(part, denoise, draw, sources, target) for part in torch.split(starts, BATCH)]
        state = torch.cat(parts)
        output = perceive_batched(sources.perceive, state)
        passes = self.steps * (1 + BACKWARD) + 1
        cost = Cost(model=len(latents) + count * passes, agent=count * passes)
        return SearchResult(state, output, target(output), cost)

    def _latents(self, sources: Sources, seed: int) -> Latent:
        """The latents (m, z) of random recorded states: the means of the encoder."""
        chosen = np.random.default_rng(seed).permutation(sources.indices)[: self.examples]
        parts = np.split(np.sort(chosen), range(BATCH, len(chosen), BATCH))
        with torch.no_grad():
            stacks = (as_state(sources.dataset.stacks(part)).to(sources.model.device) for part in parts)
            return torch.cat([sources.model.posterior(state)[0].float() for state in stacks])

    def _descend(
        self, y: Latent, denoise: nn.Module, draw: Callable[[Latent], State], sources: Sources, target: Target
    ) -> State:
        """Runs the descents of one batch of states."""
        for step in range(self.steps):
            leaf = y.detach().requires_grad_()
            values = target(sources.perceive(draw(leaf)))
            if step == 0:
                check_differentiable(target, values, leaf)
            (gradient,) = energy_gradients(target, values, (leaf,))
            with torch.no_grad():
                y = leaf + self.pull * (denoise(leaf) - leaf) - self.step * unit(gradient)
        with torch.no_grad():
            return draw(y)


def train_denoiser(y: Latent, sigma: float, steps: int, generator: torch.Generator) -> nn.Module:
    """R, trained with Adam, whose learning rate falls linearly to 0.

    Args:
        y: examples (m, z), of mean 0 and standard deviation 1 in each dimension.
        sigma: standard deviation of the noise that is removed.
        steps: of the training.
        generator: of the weights, the batches and the noise.
    """
    network = _Denoiser(y.shape[1], generator).to(y.device)
    optimizer: Any = torch.optim.Adam(network.parameters(), lr=TRAINING_RATE)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = TRAINING_RATE * (1 - step / steps)
        clean = y[torch.randint(len(y), (TRAINING_BATCH,), generator=generator)]
        noise = torch.randn(clean.shape, generator=generator).to(y)
        loss = F.mse_loss(network(clean + sigma * noise), clean)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return network


class _Denoiser(nn.Module):
    """A network with two hidden layers, which computes a correction of its input."""

    def __init__(self, latent: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = ((latent, WIDTH), (WIDTH, WIDTH), (WIDTH, latent))
        self.weights = nn.ParameterList(torch.randn(out, size, generator=generator) / size**0.5 for size, out in sizes)
        self.biases = nn.ParameterList(torch.zeros(out) for _, out in sizes)

    def forward(self, y: Tensor) -> Tensor:
        hidden = y
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = F.linear(F.silu(hidden) if number else hidden, weight, bias)
        return y + hidden

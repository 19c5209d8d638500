"""Algorithm 1 from one state, step by step, so that a person can watch; regions of the picture can be held fixed.

    E(x) = M(T(A(s))) + alpha R(x) + beta H(s),      H(s) = mean over the region of (s - s_0)^2 / sigma^2,    sigma = 0.1

with M and R from :mod:`weakspot.search.energy`, and s_0 the state at the start.  The rest is as in
:mod:`weakspot.search.algorithm_1`: a search starts at x_mu = u and descends in x_mu and log x_sigma with Adam.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weakspot.agents.base import Perceiver
from weakspot.search.config import SynthesisConfig
from weakspot.search.descent import descent
from weakspot.search.distribution import SearchDistribution
from weakspot.search.energy import TargetScale, check_differentiable, energy_gradients, shortfall
from weakspot.state_model.model import StateModel
from weakspot.targets.base import Target
from weakspot.types import Latent

HELD_SCALE = 0.1
"""sigma: a difference in the held region that counts as much as one standard deviation of the target if beta is 1."""


@dataclass(frozen=True)
class Region:
    """A region that is held fixed.

    Attributes:
        mask: 1 inside (h, w).
        weight: beta.
    """

    mask: Tensor
    weight: float


@dataclass(frozen=True)
class SearchStep:
    """One step of a search.

    Attributes:
        number: of the step, from 1.
        latent: u, the draw at which the energy was evaluated (1, z).
        energy: E.
        target: T, unscaled.
        kl: R, in nats.
        held: the mean absolute change of the held region, in levels from 0 to 255.
    """

    number: int
    latent: Latent
    energy: float
    target: float
    kl: float
    held: float


class LiveSearch:
    """A search that is under way.

    Args:
        model: g.
        perceive: A(s).
        target: T.
        scale: of the target over real states.
        start: u where it starts (1, z).
        config: alpha, the learning rate, M, and x_sigma at the start.
        region: held fixed, or None.
    """

    def __init__(
        self, model: StateModel, perceive: Perceiver, target: Target, scale: TargetScale, start: Latent,
        config: SynthesisConfig, region: Region | None,
    ) -> None:  # fmt: skip
        self._model, self._perceive, self._target, self._scale = model, perceive, target, scale
        self._config, self._region = config, region
        distribution = SearchDistribution(start.detach(), torch.full_like(start, config.start_sigma))
        self._descent = descent(config.optimizer, distribution, config.learning_rate)
        self._generator = torch.Generator().manual_seed(config.seed)
        with torch.no_grad():
            self._first = model.generate(start)
        self.number = 0
        """Steps taken so far."""

    def step(self) -> SearchStep:
        """Takes one step.

        Raises:
            TargetError: the target is not finite, or does not depend on the state.
        """
        rows = torch.zeros(1, dtype=torch.long, device=self._model.device)
        parameters = self._descent.parameters(rows)
        x = self._descent.distribution(parameters)
        eps = torch.randn(x.mean.shape, generator=self._generator).to(x.mean.device)
        u = x.mean + x.sigma * eps
        state = self._model.generate(u)
        values = self._target(self._perceive(state))
        if self.number == 0:
            check_differentiable(self._target, values, x.mean)
        kl = x.kl()
        energy = shortfall(values, self._scale, self._config) + self._config.regulariser * kl
        held = 0.0
        if self._region is not None:
            difference = self._held(state)
            energy = energy + self._region.weight * (difference / HELD_SCALE).square().mean()
            held = 255 * float(difference.detach().abs().mean())
        self._descent.step(rows, energy_gradients(self._target, energy, parameters))
        self.number += 1
        return SearchStep(self.number, u.detach(), float(energy.detach()), float(values.detach()), float(kl.detach()), held)

    def _held(self, state: Tensor) -> Tensor:
        """The differences from the start inside the region, of all frames and channels."""
        assert self._region is not None
        return (state - self._first)[..., self._region.mask.bool()]

"""The search distribution x = (x_mu, x_sigma) of Algorithm 1, a diagonal Gaussian in the latent space of the state model."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from weakspot.types import Latent, PerState


@dataclass(frozen=True)
class SearchDistribution:
    """x = (x_mu, x_sigma), one row per search.

    Attributes:
        mean: x_mu (n, z).
        sigma: x_sigma (n, z); x_sigma and -x_sigma are the same distribution.
    """

    mean: Latent
    sigma: Latent

    def rows(self, chosen: Int[Tensor, " m"]) -> SearchDistribution:
        """x of some searches."""
        return SearchDistribution(self.mean[chosen], self.sigma[chosen])

    def kl(self) -> PerState:
        """R(x) = KL(N(x_mu, x_sigma^2) || N(0, I)) of each search in nats (eq. 5)."""
        return 0.5 * (self.mean.square() + self.sigma.square() - 1.0 - 2.0 * self.sigma.abs().log()).sum(dim=1)

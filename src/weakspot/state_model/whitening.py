"""A Gaussian fitted to the codes of the data, and the space in which it is N(0, I).

A spatial code does not come out as N(0, I): neighbouring cells agree with each other, and random codes decode to nothing
in particular.  With ``m`` the mean of the codes and ``C`` their covariance,

    z = m + C^(1/2) u,        u = C^(-1/2) (z - m),

u is distributed with mean 0 and covariance I over the data.  The root is the symmetric one: of all whitened spaces it is
the one closest to the code itself, so that each u still belongs to a place.  For a model whose codes are already N(0, I),
like the paper's, m = 0 and C = I.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from weakspot.types import Latent

RIDGE = 1e-4
"""Share of the mean variance added to the diagonal, so that codes nobody uses stay invertible."""


@dataclass(frozen=True)
class Whitening:
    """z = mean + root @ u.

    Attributes:
        mean: m (z,).
        root: C^(1/2) (z, z), symmetric.
        inverse: C^(-1/2) (z, z).
    """

    mean: Float[Tensor, " z"]
    root: Float[Tensor, "z z"]
    inverse: Float[Tensor, "z z"]

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def to_latent(self, noise: Latent) -> Latent:
        """z of u, differentiable."""
        return self.mean + noise @ self.root

    def to_noise(self, latent: Latent) -> Latent:
        """u of z."""
        return (latent - self.mean) @ self.inverse

    def to(self, device: torch.device | str) -> Whitening:
        return Whitening(self.mean.to(device), self.root.to(device), self.inverse.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """What a file has to keep of it."""
        return {"mean": self.mean, "root": self.root, "inverse": self.inverse}


def identity(latent: int) -> Whitening:
    """The whitening of codes that are N(0, I) already."""
    return Whitening(torch.zeros(latent), torch.eye(latent), torch.eye(latent))


def fit(means: Latent, log_variances: Latent) -> Whitening:
    """The Gaussian of the data's codes, the encoder's own spread included: Cov(mean) + diag(E[variance])."""
    mean = means.double().mean(dim=0)
    centred = means.double() - mean
    covariance = centred.T @ centred / len(means) + torch.diag(log_variances.double().exp().mean(dim=0))
    covariance.diagonal().add_(RIDGE * covariance.diagonal().mean())
    variances, axes = torch.linalg.eigh(covariance)
    spread = variances.sqrt()
    root, inverse = (axes * spread) @ axes.T, (axes / spread) @ axes.T
    return Whitening(mean.float(), root.float().contiguous(), inverse.float().contiguous())

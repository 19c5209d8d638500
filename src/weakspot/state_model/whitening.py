"""A Gaussian fitted to the codes of the data, and the space in which it is N(0, I).

A spatial code does not come out as N(0, I): neighbouring cells agree with each other, and random codes decode to nothing
in particular.  With ``m`` the mean of the codes and ``L L^T`` their covariance,

    z = m + L u,        u = L^-1 (z - m),

u is distributed with mean 0 and covariance I over the data.  Algorithm 1 runs in u: x_mu and x_sigma are in units of the
data's own spread, and KL(x, N(0, I)) says how far a state is from the data's codes, in nats.  For a model whose codes are
already N(0, I), like the paper's, m = 0 and L = I.
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
    """z = mean + factor @ u.

    Attributes:
        mean: m (z,).
        factor: L (z, z), lower triangular.
    """

    mean: Float[Tensor, " z"]
    factor: Float[Tensor, "z z"]

    def to_latent(self, noise: Latent) -> Latent:
        """z of u, differentiable."""
        return self.mean + noise @ self.factor.T

    def to_noise(self, latent: Latent) -> Latent:
        """u of z."""
        return torch.linalg.solve_triangular(self.factor, (latent - self.mean).T, upper=False).T

    def to(self, device: torch.device | str) -> Whitening:
        return Whitening(self.mean.to(device), self.factor.to(device))


def identity(latent: int) -> Whitening:
    """The whitening of codes that are N(0, I) already."""
    return Whitening(torch.zeros(latent), torch.eye(latent))


def fit(means: Latent, log_variances: Latent) -> Whitening:
    """The Gaussian of the data's codes, the encoder's own spread included: Cov(mean) + diag(E[variance])."""
    mean = means.double().mean(dim=0)
    centred = means.double() - mean
    covariance = centred.T @ centred / len(means) + torch.diag(log_variances.double().exp().mean(dim=0))
    covariance.diagonal().add_(RIDGE * covariance.diagonal().mean())
    return Whitening(mean.float(), torch.linalg.cholesky(covariance).float().contiguous())

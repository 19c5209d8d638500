"""A Gaussian fitted to the latents of the data, and the space in which it is N(0, I).

The latents of the data do not follow N(0, I), and most latents drawn from it decode to no meaningful state.  With ``m`` the
mean of the latents, ``S`` the covariance of the encoder's means and ``N`` the mean of its variances, the latents have the
covariance S + N, signal and noise.  Axes V in which both are diagonal,

    N^(-1/2) S N^(-1/2) = V diag(e) V^T,        z = m + N^(1/2) V diag(1 + e)^(1/2) u,

make u of mean 0 and covariance I over the data.  For a model whose latents follow N(0, I) already, like the paper's, z = u.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from weakspot.system.linalg import symmetric_eigen
from weakspot.types import Latent

RIDGE = 1e-4
"""Share of the mean noise that is added to every dimension, so that the map is invertible even without noise."""


@dataclass(frozen=True)
class Whitening:
    """z = mean + root @ u.

    Attributes:
        mean: m (z,).
        root: (z, z).
        inverse: of root.
    """

    mean: Float[Tensor, " z"]
    root: Float[Tensor, "z z"]
    inverse: Float[Tensor, "z z"]

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def to_latent(self, noise: Latent) -> Latent:
        """z of u, differentiable."""
        return self.mean + noise @ self.root.T

    def to_noise(self, latent: Latent) -> Latent:
        """u of z."""
        return (latent - self.mean) @ self.inverse.T

    def to(self, device: torch.device | str) -> Whitening:
        return Whitening(*(tensor.to(device) for tensor in self.tensors().values()))

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, for the model file."""
        return {"mean": self.mean, "root": self.root, "inverse": self.inverse}


def identity(latent: int) -> Whitening:
    """The whitening of latents that follow N(0, I) already."""
    return Whitening(torch.zeros(latent), torch.eye(latent), torch.eye(latent))


def fit(means: Latent, log_variances: Latent) -> Whitening:
    """Fits the Gaussian to the encoder's means and log-variances of the states (n, z)."""
    mean = means.double().mean(dim=0)
    centred = means.double() - mean
    noise = log_variances.double().exp().mean(dim=0)
    noise = noise + RIDGE * noise.mean()
    scaled = centred / noise.sqrt()
    signal, axes = symmetric_eigen(scaled.T @ scaled / len(means))
    spread = (1.0 + signal.clamp_min(0.0)).sqrt()
    root = noise.sqrt()[:, None] * axes * spread
    inverse = (axes / spread).T / noise.sqrt()
    return Whitening(mean.float(), root.float().contiguous(), inverse.float().contiguous())


def fit_frames(means: Latent, log_variances: Latent, frames: int) -> Whitening:
    """Fits the Gaussian to the latents of single frames, and repeats it ``frames`` times; frames are not decorrelated."""
    single = fit(_by_frame(means, frames), _by_frame(log_variances, frames))
    eye = torch.eye(frames, device=single.device)
    return Whitening(single.mean.repeat(frames), torch.kron(eye, single.root), torch.kron(eye, single.inverse))


def _by_frame(latents: Latent, frames: int) -> Tensor:
    """The latents of single frames (n k, z / k), from those of states (n, z)."""
    return cast(Tensor, latents.unflatten(1, (frames, -1))).flatten(0, 1)

"""Regularisers of feature visualisation, which keep the images of activation maximisation smooth, one class each.

Each overrides one of the four hooks that :mod:`weakspot.search.activation_maximization` calls: transform, penalty, update or
after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from weakspot.types import PerState, State

fft: Any = torch.fft  # has no type hints


@dataclass(frozen=True)
class Plain:
    """No regulariser: the pixels follow the gradient.

    Attributes:
        name: label for tables and figures.
    """

    name: str = "no regulariser"

    def transform(self, state: State, generator: torch.Generator) -> State:
        """Transforms the state before the agent sees it."""
        return state

    def penalty(self, state: State) -> PerState | None:
        """A penalty per state (b,) that is minimised together with the target, or None."""
        return None

    def update(self, gradient: State) -> State:
        """The direction to descend in, computed from the target's gradient."""
        return gradient

    def after(self, state: State, step: int) -> State:
        """Changes the state after step number ``step``, counted from 0."""
        return state


@dataclass(frozen=True)
class TotalVariation(Plain):
    """Penalises the total variation (Mahendran and Vedaldi 2015), the mean length of the gradient between neighbouring
    pixels:  mean sqrt((s[y, x+1] - s[y, x])^2 + (s[y+1, x] - s[y, x])^2).
    """

    name: str = "total variation"

    def penalty(self, state: State) -> PerState:
        across = state[..., :-1, 1:] - state[..., :-1, :-1]
        down = state[..., 1:, :-1] - state[..., :-1, :-1]
        return (across.square() + down.square() + 1e-8).sqrt().mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class BlurredImage(Plain):
    """Blurs the image every few steps (Yosinski et al. 2015).

    Attributes:
        sigma: standard deviation of the Gaussian, in pixels.
        every: number of steps between two blurs.
    """

    name: str = "blurred image"
    sigma: float = 0.7
    every: int = 4

    def after(self, state: State, step: int) -> State:
        return blurred(state, self.sigma) if (step + 1) % self.every == 0 else state


@dataclass(frozen=True)
class BlurredUpdate(Plain):
    """Blurs each update (Nguyen et al. 2015).

    Attributes:
        sigma: standard deviation of the Gaussian, in pixels.
    """

    name: str = "blurred update"
    sigma: float = 1.5

    def update(self, gradient: State) -> State:
        return blurred(gradient, self.sigma)


@dataclass(frozen=True)
class SobolevGradient(Plain):
    """Takes the gradient in the Sobolev space H^1 instead of L^2 (Baust et al. 2018): the d that solves
    d - lambda Laplace d = g  with zero flux across the edges of the image.

    Attributes:
        smoothness: lambda, in square pixels.
    """

    name: str = "Sobolev gradient"
    smoothness: float = 10.0

    def update(self, gradient: State) -> State:
        height, width = gradient.shape[-2:]
        mirrored = torch.cat([gradient, gradient.flip(-2)], dim=-2)
        mirrored = torch.cat([mirrored, mirrored.flip(-1)], dim=-1)  # even extension, for zero flux
        waves_y = torch.arange(2 * height).to(gradient) * (math.pi / height)
        waves_x = torch.arange(width + 1).to(gradient) * (math.pi / width)
        laplace = 2.0 * (waves_y.cos()[:, None] + waves_x.cos()[None]) - 4.0
        smoothed: Tensor = fft.rfft2(mirrored) / (1.0 - self.smoothness * laplace)
        direction: Tensor = fft.irfft2(smoothed, s=mirrored.shape[-2:])
        return direction[..., :height, :width]


@dataclass(frozen=True)
class Transformations(Plain):
    """Shifts, rotates, scales and crops the image at random before the agent sees it, in each step (Olah et al. 2017).

    Attributes:
        jitter: largest shift in pixels.
        degrees: largest rotation.
        scale: largest relative change of size, smaller or larger.
        crop: largest share of height and width that is cut off, at a random position; the rest is stretched.
    """

    name: str = "jitter, rotation, scaling, cropping"
    jitter: float = 4.0
    degrees: float = 5.0
    scale: float = 0.1
    crop: float = 0.1

    def transform(self, state: State, generator: torch.Generator) -> State:
        random = 2.0 * torch.rand(7, len(state), generator=generator).to(state) - 1.0  # uniform in [-1, 1]
        angle = random[0] * math.radians(self.degrees)
        cut = self.crop * (1.0 + random[1]) / 2.0
        size = (1.0 + self.scale * random[2]) * (1.0 - cut)
        pixels = torch.tensor([2.0 / state.shape[-1], 2.0 / state.shape[-2]]).to(state)
        shift = [self.jitter * random[3 + axis] * pixels[axis] + cut * random[5 + axis] for axis in (0, 1)]
        cos, sin, across = size * angle.cos(), size * angle.sin(), state.shape[-2] / state.shape[-1]
        rows = [cos, -sin * across, shift[0], sin / across, cos, shift[1]]  # coordinates from -1 to 1
        grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(state.shape), align_corners=False)
        return F.grid_sample(state, grid, padding_mode="reflection", align_corners=False)


REGULARISERS: tuple[Plain, ...] = (
    Plain(),
    TotalVariation(),
    BlurredImage(),
    BlurredUpdate(),
    SobolevGradient(),
    Transformations(),
)
"""All regularisers with their defaults."""


def blurred(images: Float[Tensor, "b kc h w"], sigma: float) -> Float[Tensor, "b kc h w"]:
    """Images (b, kc, h, w) convolved with a Gaussian of ``sigma`` pixels; edge pixels are repeated outside."""
    reach = max(1, math.ceil(3 * sigma))
    at = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)

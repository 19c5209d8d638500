"""What keeps pictures smooth when pixels are descended on: the usual means of feature visualisation, one class each.

Each takes hold in one of four places of :mod:`weakspot.search.activation_maximization` and leaves the others alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from weakspot.types import PerState, State


@dataclass(frozen=True)
class Plain:
    """None of them: the pixels follow the gradient.

    Attributes:
        name: for tables and figures.
    """

    name: str = "no regulariser"

    def shown(self, state: State, generator: torch.Generator) -> State:
        """What the agent is shown of a state in this step."""
        return state

    def penalty(self, state: State) -> PerState | None:
        """What is to be small beside the target, for each state; None where there is nothing."""
        return None

    def update(self, gradient: State) -> State:
        """The direction that is gone instead of the gradient."""
        return gradient

    def after(self, state: State, step: int) -> State:
        """The state after a step, counted from 0."""
        return state


@dataclass(frozen=True)
class TotalVariation(Plain):
    """Total variation is to be small beside the target (Mahendran and Vedaldi 2015): the mean length of the gradient between
    neighbouring pixels,  mean sqrt((s[y, x+1] - s[y, x])^2 + (s[y+1, x] - s[y, x])^2).
    """

    name: str = "total variation"

    def penalty(self, state: State) -> PerState:
        across = state[..., :-1, 1:] - state[..., :-1, :-1]
        down = state[..., 1:, :-1] - state[..., :-1, :-1]
        return (across.square() + down.square() + 1e-8).sqrt().mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class BlurredImage(Plain):
    """The picture is blurred every few steps (Yosinski et al. 2015).

    Attributes:
        sigma: of the Gaussian, in pixels.
        every: steps.
    """

    name: str = "blurred image"
    sigma: float = 0.7
    every: int = 4

    def after(self, state: State, step: int) -> State:
        return blurred(state, self.sigma) if (step + 1) % self.every == 0 else state


@dataclass(frozen=True)
class BlurredUpdate(Plain):
    """Each update is blurred (Nguyen et al. 2015).

    Attributes:
        sigma: of the Gaussian, in pixels.
    """

    name: str = "blurred update"
    sigma: float = 1.5

    def update(self, gradient: State) -> State:
        return blurred(gradient, self.sigma)


@dataclass(frozen=True)
class SobolevGradient(Plain):
    """The gradient in the Sobolev space H^1 instead of L^2 (Baust et al. 2018): the d that solves  d - lambda Laplace d = g,
    with no flow over the edges of the picture.

    Attributes:
        smoothness: lambda, in square pixels.
    """

    name: str = "Sobolev gradient"
    smoothness: float = 10.0

    def update(self, gradient: State) -> State:
        height, width = gradient.shape[-2:]
        mirrored = torch.cat([gradient, gradient.flip(-2)], dim=-2)
        mirrored = torch.cat([mirrored, mirrored.flip(-1)], dim=-1)  # as if there were no edges
        waves_y = torch.arange(2 * height).to(gradient) * (math.pi / height)
        waves_x = torch.arange(width + 1).to(gradient) * (math.pi / width)
        laplace = 2.0 * (waves_y.cos()[:, None] + waves_x.cos()[None]) - 4.0
        solved = torch.fft.rfft2(mirrored) / (1.0 - self.smoothness * laplace)
        return torch.fft.irfft2(solved, s=mirrored.shape[-2:])[..., :height, :width]


@dataclass(frozen=True)
class Transformations(Plain):
    """The agent is shown the picture moved, turned, scaled and cropped at random, anew in each step (Olah et al. 2017).

    Attributes:
        jitter: pixels that it is moved by at most.
        degrees: that it is turned by at most.
        scale: that it is made smaller or larger by at most, as a share.
        crop: largest share of its height and width that is cut off, at a random place; what is left is stretched.
    """

    name: str = "jitter, rotation, scaling, cropping"
    jitter: float = 4.0
    degrees: float = 5.0
    scale: float = 0.1
    crop: float = 0.1

    def shown(self, state: State, generator: torch.Generator) -> State:
        random = 2.0 * torch.rand(7, len(state), generator=generator).to(state) - 1.0  # each in -1 to 1
        angle = random[0] * math.radians(self.degrees)
        cut = self.crop * (1.0 + random[1]) / 2.0
        size = (1.0 + self.scale * random[2]) * (1.0 - cut)
        pixels = torch.tensor([2.0 / state.shape[-1], 2.0 / state.shape[-2]]).to(state)
        moved = [self.jitter * random[3 + axis] * pixels[axis] + cut * random[5 + axis] for axis in (0, 1)]
        cos, sin, across = size * angle.cos(), size * angle.sin(), state.shape[-2] / state.shape[-1]
        rows = [cos, -sin * across, moved[0], sin / across, cos, moved[1]]  # coordinates go from -1 to 1 both ways
        grid = F.affine_grid(torch.stack(rows, dim=1).unflatten(1, (2, 3)), list(state.shape), align_corners=False)
        return F.grid_sample(state, grid, padding_mode="reflection", align_corners=False)


EVERY: tuple[Plain, ...] = (
    Plain(),
    TotalVariation(),
    BlurredImage(),
    BlurredUpdate(),
    SobolevGradient(),
    Transformations(),
)
"""All of them, with their defaults."""


def blurred(pictures: Float[Tensor, "b kc h w"], sigma: float) -> Float[Tensor, "b kc h w"]:
    """Pictures under a Gaussian of ``sigma`` pixels, their edges repeated outwards."""
    reach = max(1, math.ceil(3 * sigma))
    at = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = pictures.shape[1]
    padded = F.pad(pictures, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)

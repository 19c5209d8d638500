"""Pixel weights of the reconstruction loss (eq. 2) from saliency, and their compact storage as maps."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from weakspot.errors import ConfigError

CLIP = 100.0
"""Largest weight that :func:`encode_maps` stores, in multiples of the mean."""


def loss_weights(saliency: Float[Tensor, "b k h w"], kernel: int = 5) -> Float[Tensor, "b k h w"]:
    """The pixel weights of eq. 2: saliency averaged over ``kernel`` by ``kernel`` pixels (5 by 5 in the paper, section 4.5),
    divided by its sum over each state.

    At the border the average runs over the pixels inside the frame.  A state without saliency gets uniform weights.

    Args:
        saliency: non-negative (b, k, h, w).
        kernel: odd size of the box in pixels.

    Returns:
        Weights (b, k, h, w); those of a state sum to 1.

    Raises:
        ConfigError: the kernel is not odd and positive.
    """
    smooth = box_filter(saliency, kernel)
    largest = smooth.amax(dim=(1, 2, 3), keepdim=True)
    scaled = torch.where(largest > 0, smooth / largest.clamp(min=torch.finfo(smooth.dtype).tiny), 1.0)
    return scaled / scaled.sum(dim=(1, 2, 3), keepdim=True)


def encode_maps(saliency: Float[Tensor, "b k h w"], kernel: int = 5) -> UInt8[Tensor, "b h2 w2"]:
    """One small map per state: the maximum of saliency over the stack, averaged, at half the resolution, in multiples of its
    mean.

    Values are clipped at :data:`CLIP` times the mean and stored as their square root, with 255 for the clip; the rounding
    error of a weight of 1 is at most 4 %.  A state without saliency gets a uniform map of ones.

    Args:
        saliency: non-negative (b, k, h, w).
        kernel: odd size of the box in pixels.

    Returns:
        uint8 (b, ceil(h / 2), ceil(w / 2)); :func:`decode_maps` is the inverse.
    """
    largest = saliency.amax(dim=1, keepdim=True)
    smooth = F.avg_pool2d(box_filter(largest, kernel), 2, ceil_mode=True)[:, 0]
    top = smooth.amax(dim=(1, 2), keepdim=True)
    scaled = torch.where(top > 0, smooth / top.clamp(min=torch.finfo(smooth.dtype).tiny), 1.0)
    multiples = (scaled / scaled.mean(dim=(1, 2), keepdim=True)).clamp(max=CLIP)
    return (255 * (multiples / CLIP).sqrt()).round().to(torch.uint8)


def decode_maps(stored: UInt8[np.ndarray, "b h w"] | UInt8[Tensor, "b h w"]) -> Float[Tensor, "b 1 h w"]:
    """Pixel weights (b, 1, h, w) from the maps of :func:`encode_maps`; their mean over each state is about 1."""
    codes = torch.as_tensor(np.ascontiguousarray(stored)) if isinstance(stored, np.ndarray) else stored
    return CLIP * (codes[:, None].float() / 255).square()


def box_filter(saliency: Tensor, kernel: int) -> Tensor:
    """Averages over ``kernel`` by ``kernel`` pixels, at the border over those inside the frame (eq. 2).

    Raises:
        ConfigError: the kernel is not odd and positive.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigError(
            f"a box filter of {kernel} pixels has no centre",
            expected="an odd positive size",
            todo="use 5, as the paper does",
        )
    return F.avg_pool2d(saliency, kernel, stride=1, padding=kernel // 2, count_include_pad=False)

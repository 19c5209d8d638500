"""Saliency as images for people."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def saliency_images(saliency: Float[Tensor, "n k h w"]) -> UInt8[np.ndarray, "n h w"]:
    """One image a state: the square root of the largest saliency over the stack, scaled so that the largest is 255."""
    largest = saliency.amax(dim=1)
    top = largest.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    return (255 * (largest / top).sqrt()).round().to(torch.uint8).cpu().numpy()

"""Stage: how faithful the state model's reconstructions are."""

from __future__ import annotations

import numpy as np
import torch


def saliency_image(maps: torch.Tensor) -> np.ndarray:
    """Saliency (n, k, h, w) as one picture a state, the largest over the stack, 0 to 255 (n, h, w)."""
    largest = maps.amax(dim=1)
    top = largest.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    return (255 * (largest / top).sqrt()).round().to(torch.uint8).cpu().numpy()

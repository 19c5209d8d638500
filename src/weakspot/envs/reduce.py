"""Reduces images to frames, as a :class:`weakspot.envs.reduction.Reduction` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from weakspot.envs.reduction import EMULATOR, OPENCV, PILLOW, Reduction, Rounding, Sides

Image: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"


def reduce_image(image: Image, reduction: Reduction, gray: Image | None = None) -> tuple[Image, Image | None]:
    """Reduces an image.

    Args:
        image: (h, w, 3) uint8.
        reduction: how.
        gray: (h, w) uint8, the emulator's own gray image, for ``gray = "emulator"``.

    Returns:
        The colour frame (h', w', 3), and the agent's gray frame (h', w'); None if it sees colour.
    """
    frame = _finish(_steps(image, reduction, None), reduction, "nearest")
    if reduction.weights is None:
        return frame, None
    start, weigh = (image, _weigher(reduction)) if reduction.gray != EMULATOR or gray is None else (gray, None)
    return frame, _finish(_steps(start, reduction, weigh), reduction, reduction.rounding)


def _steps(image: np.ndarray, reduction: Reduction, weigh: Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
    if reduction.exact:
        image = image.astype(np.float32)
    for step in reduction.order:
        if step == "crop":
            image = _crop(image, reduction.crop)
        elif step == "resize" and reduction.size is not None:
            image = resized(image, reduction.size, reduction.resize)
        elif step == "gray" and weigh is not None:
            image = weigh(image)
    return image


def _weigher(reduction: Reduction) -> Callable[[np.ndarray], np.ndarray]:
    """A function that makes an image gray, rounded if the reduction is not exact."""
    if reduction.gray == "rec601" and reduction.rounding == "nearest" and not reduction.exact:
        return lambda image: cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    weights = np.array(reduction.weights)

    def weigh(image: np.ndarray) -> np.ndarray:
        # The mean is computed as one, because thirds of whole numbers that add up to one may fall short of it.
        mixed = image.mean(axis=-1) if reduction.gray == "mean" else np.sum(image * weights, axis=-1)
        return mixed.astype(np.float32) if reduction.exact else _whole(mixed, reduction.rounding)

    return weigh


def resized(image: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """An image (h, w) or (h, w, c), uint8 or float32, resized to ``size`` (height, width); unchanged if it has that size."""
    if image.shape[:2] == (size[0], size[1]):
        return image
    if method in OPENCV:
        return cv2.resize(
            np.ascontiguousarray(image), (size[1], size[0]), interpolation=getattr(cv2, f"INTER_{OPENCV[method]}")
        )
    from PIL import Image as PillowImage

    resample = PillowImage.Resampling[PILLOW[method]]
    is_gray = image.ndim == 2
    if image.dtype == np.uint8:
        return np.asarray(PillowImage.fromarray(np.ascontiguousarray(image)).resize((size[1], size[0]), resample))
    planes = [image] if is_gray else [image[..., channel] for channel in range(image.shape[2])]
    small = [
        np.asarray(PillowImage.fromarray(np.ascontiguousarray(p), "F").resize((size[1], size[0]), resample)) for p in planes
    ]
    return small[0] if is_gray else np.stack(small, axis=-1)


def _crop(image: np.ndarray, crop: Sides) -> np.ndarray:
    top, bottom, left, right = crop
    return image[top : image.shape[0] - bottom, left : image.shape[1] - right]


def _finish(image: np.ndarray, reduction: Reduction, rounding: Rounding) -> Image:
    """Rounds, pads and transposes."""
    whole = image if image.dtype == np.uint8 else _whole(image, rounding)
    top, bottom, left, right = reduction.pad
    if any(reduction.pad):
        whole = np.pad(whole, [(top, bottom), (left, right), *([(0, 0)] * (whole.ndim - 2))])
    return np.ascontiguousarray(whole.swapaxes(0, 1) if reduction.transposed else whole)


def _whole(levels: np.ndarray, rounding: Rounding) -> Image:
    """Whole numbers from 0 to 255."""
    if rounding == "down":
        return levels.clip(0, 255).astype(np.uint8)
    return np.rint(levels).clip(0, 255).astype(np.uint8)

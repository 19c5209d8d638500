"""Images of environments in all their forms, as colour images (h, w, 3) of bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import gymnasium
import numpy as np

from weakspot.errors import ConfigError


@dataclass(frozen=True)
class Picture:
    """Turns observations into colour images.

    Attributes:
        size: height and width.
        channels: 1 for gray, 3 for colour.
        channels_first: whether the channels come first.
        bounds: values of black and white; None if observations are bytes.
        key: of the image in observations that are dicts; None for others.
    """

    size: tuple[int, int]
    channels: int
    channels_first: bool
    bounds: tuple[float, float] | None
    key: str | None = None

    def __call__(self, observation: Any) -> np.ndarray:
        """The observation as an image (h, w, 3) uint8; gray is repeated in all three channels, fractions are rounded."""
        image = np.asarray(observation if self.key is None else observation[self.key])
        if self.bounds is not None:
            low, high = self.bounds
            image = np.rint((image - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8)
        if image.ndim == 2:
            image = image[..., None]
        elif self.channels_first:
            image = np.moveaxis(image, 0, 2)
        return np.repeat(image, 3, axis=2) if self.channels == 1 else np.array(image)


def picture_of(space: gymnasium.Space[Any], environment: str) -> Picture:
    """How observations of a space become images.

    Images may be gray or colour, with the channels last, first, or without a dimension for them, as bytes, or as numbers
    between two bounds that are the same for all pixels, such as 0 and 1.  Of a dict with a single image, the agent sees the
    image alone.

    Raises:
        ConfigError: they are no images, or already stacked; the message says what to do.
    """
    if isinstance(space, gymnasium.spaces.Dict):
        spaces: dict[str, gymnasium.Space[Any]] = dict(cast("Any", space).spaces)
        images = {key: part for key, part in spaces.items() if _layout(part.shape or ()) is not None}
        if len(images) == 1:
            ((key, part),) = images.items()
            return replace(picture_of(part, f"{environment} ({key})"), key=key)
    shape: tuple[int, ...] = space.shape or ()
    layout = _layout(shape)
    if not isinstance(space, gymnasium.spaces.Box) or layout is None:
        raise ConfigError(
            f"the observations of {environment} are {space}",
            expected="one image: (height, width), (height, width, 3), (3, height, width), or one channel instead of three",
            todo=_advice(cast(object, space), shape),
        )
    box = cast(Any, space)
    if box.dtype == np.uint8:
        return Picture(*layout, None)
    low, high = float(box.low.min()), float(box.high.max())
    if not (np.isfinite([low, high]).all() and low < high and low == box.low.max() and high == box.high.min()):
        raise ConfigError(
            f"the observations of {environment} are {space}",
            expected="bytes, or numbers between two bounds that are the same for all pixels, such as 0 and 1",
            todo="give its observation space the bounds of its pixels (gymnasium.wrappers.TransformObservation), and "
            "register the result",
        )
    return Picture(*layout, (low, high))


def _layout(shape: tuple[int, ...]) -> tuple[tuple[int, int], int, bool] | None:
    """Height and width, number of channels, and whether these come first; None for shapes that are not those of images."""
    if len(shape) == 2:
        return (shape[0], shape[1]), 1, False
    if len(shape) == 3 and shape[2] in (1, 3):
        return (shape[0], shape[1]), shape[2], False
    if len(shape) == 3 and shape[0] in (1, 3):
        return (shape[1], shape[2]), shape[0], True
    return None


def _advice(space: object, shape: tuple[int, ...]) -> str:
    if (len(shape) == 3 and min(shape[0], shape[2]) == 4) or len(shape) == 4:
        return (
            "if these are stacked frames, leave the wrapper that stacks them out of the environment: frames = 4 in a TOML "
            "file stacks them here. If these are colours and opacity, or depth, keep the colours alone "
            "(gymnasium.wrappers.TransformObservation), and register the result"
        )
    if isinstance(space, gymnasium.spaces.Dict):
        return "keep one image alone (gymnasium.wrappers.FilterObservation and FlattenObservation), and register the result"
    return "wrap it so that it returns images (gymnasium.wrappers.AddRenderObservation), and register the result"

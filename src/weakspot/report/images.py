"""States as images inside one HTML file: small, accurate to a few levels, one strip of frames each.

A state becomes one strip, its k frames side by side, oldest first; the page shows the newest frame and plays the others by
sliding the strip. The strips are lossless WebP after rounding each channel to multiples of ``step``, which keeps every
object; lossy compression of so few pixels does not.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from weakspot.artifacts.weaknesses import Box

Images = npt.NDArray[np.uint8]

SALIENCY_COLOUR = (255, 45, 149)
"""Red, green, blue of the saliency overlay: a hue that hardly any Atari palette uses."""


VISIBLE, DIMMED = 15, 0.3
"""Levels of a colour by which a pixel has to differ to count as changed, and the brightness of the others."""


@dataclass(frozen=True)
class Film:
    """A state to be shown and played.

    Attributes:
        uri: the strip of its frames as a data URI.
        alt: the content in words, for screen readers.
        label: one or two words, for captions and buttons.
        kind: ``real``, ``synthesised``, ``twin`` or ``reconstructed``; decides the colour that marks it.
        frames: number of frames in the strip.
        saliency: overlay for the newest frame as a data URI, or an empty string.
        moments: what each frame is, such as ``step 9``; empty for the frames of a stack.
    """

    uri: str
    alt: str
    label: str
    kind: str
    frames: int
    saliency: str = ""
    moments: tuple[str, ...] = ()


def in_colour(stacks: Images, colours: Sequence[tuple[int, int, int]]) -> Images:
    """RGB frames (..., h, w, 3) of frames (..., h, w, c) whose channels are not colours.

    Each pixel is the sum of the channels' ``colours``, weighted by the channels.
    """
    mixed = stacks.astype(np.float32) @ (np.asarray(colours, np.float32) / 255)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def strip_uri(stack: Images, step: int) -> str:
    """The RGB state (k, h, w, 3) as one strip; channels are off by at most ``step / 2`` levels."""
    strip = np.concatenate(list(stack), axis=1).astype(np.int16)
    rounded = np.clip((strip + step // 2) // step * step, 0, 255).astype(np.uint8)
    return _uri(np.ascontiguousarray(rounded[..., ::-1]))


def quick_uri(stack: Images) -> str:
    """The RGB state (k, h, w, 3) as one strip in PNG, without loss: larger than WebP, but encoded in a tenth of the time."""
    strip = np.ascontiguousarray(np.concatenate(list(stack), axis=1)[..., ::-1])
    encoded = cv2.imencode(".png", strip, [cv2.IMWRITE_PNG_COMPRESSION, 2])[1]
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()


def difference_uri(before: Images, after: Images, colours: Sequence[tuple[int, int, int]] | None) -> str:
    """The frame ``after`` (h, w, c), bright where it differs from ``before``; empty if it does not.

    ``colours`` are those of the channels, or None if the channels are colours themselves.
    """
    frames = np.stack([before, after])
    first, second = (frames if colours is None else in_colour(frames, colours)).astype(np.int16)
    differs = (np.abs(second - first) > VISIBLE).any(axis=-1)
    return _dimmed_uri(second, differs) if differs.any() else ""


def part_uri(frame: Images, box: Box, colours: Sequence[tuple[int, int, int]] | None) -> str:
    """The frame (h, w, c), dimmed outside a part of it; ``colours`` as in :func:`difference_uri`."""
    picture = frame if colours is None else in_colour(frame[None], colours)[0]
    bright = np.zeros(picture.shape[:2], bool)
    bright[box.top : box.bottom, box.left : box.right] = True
    return _dimmed_uri(picture, bright)


def _dimmed_uri(picture: npt.NDArray[np.integer], bright: npt.NDArray[np.bool_]) -> str:
    """The picture (h, w, 3), dimmed except where it is ``bright`` (h, w)."""
    dimmed = np.where(bright[..., None], 1.0, DIMMED) * picture
    return _uri(np.ascontiguousarray(dimmed.astype(np.uint8)[..., ::-1]))


def saliency_uri(saliency: Images) -> str:
    """The map (h, w) as an overlay of one colour, more opaque for larger values (16 levels)."""
    overlay = np.empty((*saliency.shape, 4), np.uint8)
    overlay[..., :3] = SALIENCY_COLOUR[::-1]
    overlay[..., 3] = saliency // 16 * 15
    return _uri(overlay)


def _uri(image: Images) -> str:
    encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1]  # above 100 is lossless
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()

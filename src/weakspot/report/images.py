"""Pictures for one HTML file: small, exact to a few levels, and each a single strip of frames.

A stack becomes one strip, its k frames side by side, oldest first; the page shows the newest and plays the others by
sliding the strip.  Lossless WebP after rounding each channel to multiples of ``step`` keeps every object, which lossy
compression of so few pixels does not.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

SALIENCY_COLOUR = (255, 45, 149)
"""Red, green, blue of the saliency overlay: a hue that hardly any Atari palette uses."""


@dataclass(frozen=True)
class Film:
    """A stack of frames to be shown.

    Attributes:
        uri: the strip as a data URI.
        alt: what is to be seen, in words.
        label: the same in one or two words, for captions and switches.
        kind: ``real``, ``synthesised`` or ``reconstructed``; decides the colour it is marked with.
        saliency: overlay for the newest frame as a data URI, or an empty string.
    """

    uri: str
    alt: str
    label: str
    kind: str
    saliency: str = ""


def strip_uri(stack: npt.NDArray[np.uint8], step: int) -> str:
    """The stack (k, h, w, 3), uint8, as one strip; channels are off by at most ``step / 2`` levels."""
    strip = np.concatenate(list(stack), axis=1).astype(np.int16)
    rounded = np.clip((strip + step // 2) // step * step, 0, 255).astype(np.uint8)
    return _uri(np.ascontiguousarray(rounded[..., ::-1]))


def saliency_uri(saliency: npt.NDArray[np.uint8]) -> str:
    """The map (h, w), uint8, as an overlay in one colour that is the more opaque the larger the value (16 levels)."""
    overlay = np.empty((*saliency.shape, 4), np.uint8)
    overlay[..., :3] = SALIENCY_COLOUR[::-1]
    overlay[..., 3] = saliency // 16 * 15
    return _uri(overlay)


def _uri(picture: npt.NDArray[np.uint8]) -> str:
    encoded = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1]  # above 100 is lossless
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()

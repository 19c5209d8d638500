"""Finds people, cars and lights in frames that have a channel for each semantic class of the driving environments."""

from __future__ import annotations

import cv2
import numpy as np

from weakspot.envs.driving.classes import CLASS_NAMES, SemanticClass
from weakspot.types import Frames

KINDS = {
    "people": SemanticClass.PEDESTRIAN,
    "cars": SemanticClass.CAR,
    "red lights": SemanticClass.RED_LIGHT,
    "green lights": SemanticClass.GREEN_LIGHT,
}
"""The kinds of objects, with their class."""
MIN_PIXELS = 2
"""Minimum number of pixels of an object; fewer are the edge of something, or a blur."""


def has_classes(channels: tuple[str, ...]) -> bool:
    """Whether the channels of a frame, by their names, include one for each class."""
    return set(CLASS_NAMES) <= set(channels)


def find(planes: Frames) -> list[np.ndarray]:
    """Windows (m, 4) of the objects of one class in each frame of its channel (n, h, w, 1): left, top, right, bottom in
    pixels, the last two exclusive.  Pixels that touch, even by a corner, are one object."""
    return [_boxes(plane) for plane in (planes[..., 0] > 127).astype(np.uint8)]


def _boxes(plane: np.ndarray) -> np.ndarray:
    """Bounding boxes (m, 4) of the connected components of a mask (h, w)."""
    _, _, parts, _ = cv2.connectedComponentsWithStats(plane, connectivity=8)
    parts = parts[1:]  # the first is the background
    parts = parts[parts[:, cv2.CC_STAT_AREA] >= MIN_PIXELS]
    corners = parts[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    return np.hstack([corners, corners + parts[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]]).astype(np.float64)

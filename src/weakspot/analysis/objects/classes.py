"""People, cars and lights, in frames that hold a channel for each semantic class of the town."""

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
"""What the objects of a class are called."""
LEAST_PIXELS = 2
"""Fewer pixels of a class are none: the edge of something, or a blur."""


def has_classes(channels: tuple[str, ...]) -> bool:
    """Whether there is a channel for each class among those of a frame."""
    return set(CLASS_NAMES) <= set(channels)


def find(planes: Frames) -> list[np.ndarray]:
    """Windows (m, 4) of the objects of one class in each frame of its channel (n, h, w, 1): left, top, right, bottom, the
    last two exclusive.  What touches, even by a corner, is one object."""
    return [_boxes(plane) for plane in (planes[..., 0] > 127).astype(np.uint8)]


def _boxes(plane: np.ndarray) -> np.ndarray:
    _, _, parts, _ = cv2.connectedComponentsWithStats(plane, connectivity=8)
    parts = parts[1:]  # the first is what is left around them
    parts = parts[parts[:, cv2.CC_STAT_AREA] >= LEAST_PIXELS]
    corners = parts[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    return np.hstack([corners, corners + parts[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]]).astype(np.float64)

"""Finds the objects of Q*bert: the player by the emulator's memory, its enemies by their colours in the image.

The memory contains the enemies' columns but not whether they exist, so they are found by colour: purple and green, which do
not occur in the cubes of the first rounds.
"""

from __future__ import annotations

import cv2
import numpy as np

from weakspot.analysis.objects.pong_ball import SCREEN_HEIGHT, SCREEN_WIDTH

PLAYER_X, PLAYER_Y = 43, 67
"""Bytes of the player's position."""
PLAYER_LEFT, PLAYER_UP = 3, 11
"""From that position to the upper left corner of the player on the emulator's screen, leftwards and upwards."""
PLAYER_SIZE = (8, 24)
"""Width and height of the player."""
IN_PLAY = (16, 210)
"""Values of the player's row between which it is on the screen."""

MIN_EXCESS = 45
"""Minimum excess of an enemy's colours over the other colours; of 255."""
MIN_AREA, MIN_HEIGHT = 5, 3
"""Minimum number of pixels, and of rows, of an enemy in the downscaled frame; the discs at the sides are flatter."""
FIELD_TOP = 28
"""First row of the screen below the score."""


def find(frames: np.ndarray, ram: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Windows of the player and of the enemies; see :mod:`weakspot.analysis.objects.finders`."""
    across, down = frames.shape[2] / SCREEN_WIDTH, frames.shape[1] / SCREEN_HEIGHT
    windows: dict[str, list[np.ndarray]] = {"player": []}
    for memory in ram.astype(int):
        left, top = memory[PLAYER_X] - PLAYER_LEFT, memory[PLAYER_Y] - PLAYER_UP
        box = np.array([[left, top, left + PLAYER_SIZE[0], top + PLAYER_SIZE[1]]], dtype=np.float64)
        visible = IN_PLAY[0] < memory[PLAYER_Y] < IN_PLAY[1]
        windows["player"].append(box[: int(visible)] * [across, down, across, down])
    red, green, blue = np.moveaxis(frames.astype(int), 3, 0)
    purple = (np.minimum(red, blue) - green >= MIN_EXCESS) & (blue > red)
    for name, mask in (("purple enemies", purple), ("green enemies", green - np.maximum(red, blue) >= MIN_EXCESS)):
        windows[name] = [_components(frame, int(FIELD_TOP * down)) for frame in mask]
    return windows


def _components(mask: np.ndarray, top: int) -> np.ndarray:
    """Bounding boxes (m, 4) of the connected components of a mask (h, w) from row ``top`` downwards."""
    below = mask.astype(np.uint8)
    below[:top] = 0
    _, _, components, _ = cv2.connectedComponentsWithStats(below, connectivity=8)
    boxes = [(x, y, x + w, y + h) for x, y, w, h, area in components[1:] if area >= MIN_AREA and h >= MIN_HEIGHT]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)

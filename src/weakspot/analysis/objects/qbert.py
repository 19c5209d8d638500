"""Where the objects of Q*bert are: the player by the emulator's memory, its enemies by their colours in the picture.

The memory holds the enemies' columns but not whether they are there, so they are looked for by colour: purple and
green, which the cubes of the first rounds are not.
"""

from __future__ import annotations

import cv2
import numpy as np

from weakspot.analysis.objects.pong_ball import SCREEN_HEIGHT, SCREEN_WIDTH

PLAYER_X, PLAYER_Y = 43, 67
PLAYER_LEFT, PLAYER_UP = 3, 11
PLAYER_SIZE = (8, 24)
IN_PLAY = (16, 210)
"""Values of the player's row between which it is on the screen."""

LEAST_EXCESS = 45
"""By how much the colours of an enemy must exceed the others; of 255."""
LEAST_AREA, LEAST_HEIGHT = 5, 3
"""Pixels, and rows of them, of the small frame that make an enemy; the discs at the sides are flatter."""
FIELD_TOP = 28
"""Row of the screen below the score."""


def find(frames: np.ndarray, ram: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Windows of the player and of the enemies; see :mod:`weakspot.analysis.objects.finders`."""
    across, down = frames.shape[2] / SCREEN_WIDTH, frames.shape[1] / SCREEN_HEIGHT
    windows: dict[str, list[np.ndarray]] = {"player": []}
    for memory in ram.astype(int):
        left, top = memory[PLAYER_X] - PLAYER_LEFT, memory[PLAYER_Y] - PLAYER_UP
        box = np.array([[left, top, left + PLAYER_SIZE[0], top + PLAYER_SIZE[1]]], dtype=np.float64)
        there = IN_PLAY[0] < memory[PLAYER_Y] < IN_PLAY[1]
        windows["player"].append(box[: int(there)] * [across, down, across, down])
    red, green, blue = np.moveaxis(frames.astype(int), 3, 0)
    purple = (np.minimum(red, blue) - green >= LEAST_EXCESS) & (blue > red)
    for name, mask in (("purple enemies", purple), ("green enemies", green - np.maximum(red, blue) >= LEAST_EXCESS)):
        windows[name] = [_pieces(part, int(FIELD_TOP * down)) for part in mask]
    return windows


def _pieces(mask: np.ndarray, top: int) -> np.ndarray:
    """Bounding boxes (m, 4) of the connected pieces of a mask (h, w) below row ``top``."""
    below = mask.astype(np.uint8)
    below[:top] = 0
    _, _, pieces, _ = cv2.connectedComponentsWithStats(below, connectivity=8)
    boxes = [(x, y, x + w, y + h) for x, y, w, h, area in pieces[1:] if area >= LEAST_AREA and h >= LEAST_HEIGHT]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)

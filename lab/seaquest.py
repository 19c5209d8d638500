"""Seaquest: the oxygen and the closest enemy that frames show, and how oxygen runs out in the lives of a collection."""

from __future__ import annotations

import cv2
import numpy as np

from weakspot.analysis.objects.seaquest_oxygen import Life, lives, oxygen
from weakspot.data.dataset import StateDataset
from weakspot.types import Frames

LOW_OXYGEN = 0.25
"""Share of the bar below which a submarine has to surface."""
SURFACE, GROUND = 48 / 210, 152 / 210
"""Rows of the water, as shares of the height of a frame."""
PLAYER_PIXELS, ENEMY_PIXELS = 5, 3
"""Least number of pixels of the player and of an enemy."""


def oxygen_level(frames: Frames) -> np.ndarray:
    """The length of the oxygen bar in frames (n, h, w, 3), as a share of the whole bar (n,)."""
    return oxygen(frames)


def recorded_lives(dataset: StateDataset) -> list[Life]:
    """All lives that were lost in a collection, each with its oxygen over time."""
    order = np.lexsort((dataset.time, dataset.stream))
    return lives(dataset.ram[order], dataset.life_lost[order], dataset.stream[order])


def enemy_distance(frames: Frames) -> np.ndarray:
    """The distance from the player's submarine to the closest enemy in frames (n, h, w, 3), in pixels (n,).

    The player is the largest yellow object in the water, and enemies are green or nearly white. Infinite without an enemy,
    NaN without a player. In real frames of 84x84 it differs from the distance by the emulator's memory by a third of a pixel
    in half of the frames.
    """
    return np.array([_enemy_distance(frame) for frame in frames], np.float64)


def _enemy_distance(frame: np.ndarray) -> float:
    height = len(frame)
    water = frame[int(height * SURFACE) : int(height * GROUND)].astype(np.int16)
    red, green, blue = np.moveaxis(water, -1, 0)
    yellow = (red > 100) & (green > 100) & (4 * blue < 3 * np.minimum(red, green))
    count, _, sizes, centres = cv2.connectedComponentsWithStats(yellow.astype(np.uint8), connectivity=8)
    areas = sizes[1:, cv2.CC_STAT_AREA]
    if count < 2 or areas.max() < PLAYER_PIXELS:
        return np.nan
    player = centres[1 + areas.argmax()]
    beside = cv2.dilate(yellow.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    enemies = (((green - red > 40) & (green > 90) & (green > blue)) | (water.min(axis=-1) > 115)) & ~beside
    _, _, sizes, centres = cv2.connectedComponentsWithStats(enemies.astype(np.uint8), connectivity=8)
    large = centres[1:][sizes[1:, cv2.CC_STAT_AREA] >= ENEMY_PIXELS]
    return float(np.hypot(*(large - player).T).min()) if len(large) else np.inf

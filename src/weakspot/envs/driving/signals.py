"""Traffic lights: the streets along x and those along y have green in turn."""

from __future__ import annotations

import numpy as np

from weakspot.envs.driving.town import Town

GREEN_SECONDS, AMBER_SECONDS, ALL_RED_SECONDS = 12.0, 3.0, 2.0
CYCLE = 2 * (GREEN_SECONDS + AMBER_SECONDS + ALL_RED_SECONDS)
GREEN, AMBER, RED = 0, 1, 2
ALONG_X, ALONG_Y = 0, 1


def lights(town: Town, seconds: float) -> np.ndarray:
    """What the lights show (2, nx + 1, ny + 1) to cars along x and along y: ``GREEN``, ``AMBER`` or ``RED``.

    Intersections without lights show green both ways; those are the town's corners, where two streets end in each other.
    """
    phase = _phase(town, seconds)
    shown = np.where(phase < GREEN_SECONDS, GREEN, np.where(phase < GREEN_SECONDS + AMBER_SECONDS, AMBER, RED))
    return np.where(town.signalled[None], shown, GREEN)


def red_left(town: Town, seconds: float) -> np.ndarray:
    """Seconds (2, nx + 1, ny + 1) for which cars along x and along y still have red; 0 where they do not."""
    phase = _phase(town, seconds)
    left = np.where(phase >= GREEN_SECONDS + AMBER_SECONDS, CYCLE - phase, 0.0)
    return np.where(town.signalled[None], left, 0.0)


def _phase(town: Town, seconds: float) -> np.ndarray:
    """Seconds since the green of each direction began."""
    since = seconds + town.light_offset * CYCLE
    return np.stack([since, since + CYCLE / 2]) % CYCLE

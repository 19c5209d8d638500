"""Traffic lights: the streets along x and those along y alternate in having green."""

from __future__ import annotations

import numpy as np

from weakspot.envs.driving.town import Town

GREEN_SECONDS, AMBER_SECONDS, ALL_RED_SECONDS = 12.0, 3.0, 2.0
CYCLE = 2 * (GREEN_SECONDS + AMBER_SECONDS + ALL_RED_SECONDS)
"""Seconds after which the lights repeat."""
GREEN, AMBER, RED = 0, 1, 2
ALONG_X, ALONG_Y = 0, 1


def lights(town: Town, seconds: float) -> np.ndarray:
    """Colours of all lights (2, nx + 1, ny + 1), for cars along x and along y: ``GREEN``, ``AMBER`` or ``RED``.

    Intersections without lights count as green in both directions; these are the town's corners, where only two streets
    meet.
    """
    phase = _phase(town, seconds)
    colours = np.where(phase < GREEN_SECONDS, GREEN, np.where(phase < GREEN_SECONDS + AMBER_SECONDS, AMBER, RED))
    return np.where(town.signalled[None], colours, GREEN)


def red_left(town: Town, seconds: float) -> np.ndarray:
    """Seconds (2, nx + 1, ny + 1) until the red light for cars along x and along y ends; 0 if it is not red."""
    phase = _phase(town, seconds)
    left = np.where(phase >= GREEN_SECONDS + AMBER_SECONDS, CYCLE - phase, 0.0)
    return np.where(town.signalled[None], left, 0.0)


def _phase(town: Town, seconds: float) -> np.ndarray:
    """Seconds (2, nx + 1, ny + 1) since the green of each direction began."""
    since = seconds + town.light_offset * CYCLE
    return np.stack([since, since + CYCLE / 2]) % CYCLE

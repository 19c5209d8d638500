"""Semantic classes of the surfaces that a ray can hit, and their display colours."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from weakspot.errors import ConfigError


class SemanticClass(IntEnum):
    """The class of a pixel."""

    ROAD = 0
    MARKING = 1
    PAVEMENT = 2
    BUILDING = 3
    VEGETATION = 4
    CAR = 5
    PEDESTRIAN = 6
    RED_LIGHT = 7
    GREEN_LIGHT = 8
    SKY = 9


CLASS_NAMES = tuple(member.name.lower() for member in SemanticClass)

PALETTE = np.array(
    [
        [105, 100, 120],
        [235, 235, 225],
        [215, 145, 190],
        [95, 80, 75],
        [90, 150, 60],
        [30, 60, 190],
        [250, 205, 40],
        [235, 40, 40],
        [40, 215, 130],
        [150, 195, 235],
    ],
    np.uint8,
)
"""Display colour of each class (10, 3): red, green, blue."""


def semantic_class(name: str) -> SemanticClass:
    """The class with a name such as ``pedestrian`` or ``red_light``.

    Raises:
        ConfigError: there is no such class.
    """
    try:
        return SemanticClass[name.upper()]
    except (KeyError, AttributeError) as error:
        raise ConfigError(f"there is no class {name!r}", expected=", ".join(CLASS_NAMES)) from error


def colours(classes: np.ndarray) -> np.ndarray:
    """An image (..., 3) uint8 that shows classes (...) in their colours of :data:`PALETTE`.

    Raises:
        ConfigError: the numbers are not integers, or there is no such class.
    """
    if not np.issubdtype(classes.dtype, np.integer):
        raise ConfigError(f"classes as {classes.dtype}", expected="whole numbers")
    if classes.size and not 0 <= int(classes.min()) <= int(classes.max()) < len(PALETTE):
        raise ConfigError(
            f"classes from {classes.min()} to {classes.max()}", expected=f"numbers from 0 to {len(PALETTE) - 1}"
        )
    return PALETTE[classes]

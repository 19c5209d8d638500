"""Registers the driving environments with gymnasium, without loading what they need.  Importing this module is cheap."""

from __future__ import annotations

from typing import Any

_ENTRY_POINT = "weakspot.envs.driving.env:DriveEnv"
_SEMANTIC: dict[str, Any] = {"sensors": ("classes",), "frames": 4}
_HOLD = 3
"""With steps of 0.1 seconds an untrained agent would have to wait by chance for a hundred steps in a row at a red light."""
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "weakspot/Drive-v0": {},
    "weakspot/DriveSemantic-v0": _SEMANTIC,
    "weakspot/Drive96-v0": {"size": (96, 96), "hold": _HOLD},
    "weakspot/DriveSemantic64-v0": {**_SEMANTIC, "size": (64, 64), "hold": _HOLD},
}
"""The settings of each environment that differ from the defaults; the last two are for training without a GPU."""

PEDESTRIANS = ("reasonable", "distracted", "none")
"""Names of the behaviours of pedestrians; a fraction from 0 to 1 is the share of crossings that people start without
looking."""


def register() -> None:
    """Registers the environments, so that ``gymnasium.make`` finds them.

    ``import weakspot`` calls this, so that the id ``weakspot:weakspot/Drive-v0`` works as well.
    """
    import gymnasium

    for name, settings in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(  # pyright: ignore[reportUnknownMemberType]  # gymnasium leaves a parameter's type open
                name, entry_point=_ENTRY_POINT, kwargs=settings
            )

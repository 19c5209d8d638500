"""Makes the driving environments known to gymnasium, without loading what they need."""

from __future__ import annotations

from typing import Any

import gymnasium

_ENTRY = "weakspot.envs.driving.env:DriveEnv"
_SEMANTIC = {"sensors": ("classes",), "frames": 4}
_HELD = 3
"""With decisions of 0.1 seconds a learner would have to wait at a red light a hundred times in a row, by chance at first."""
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "weakspot/Drive-v0": {},
    "weakspot/DriveSemantic-v0": _SEMANTIC,
    "weakspot/Drive96-v0": {"size": (96, 96), "hold": _HELD},
    "weakspot/DriveSemantic64-v0": {**_SEMANTIC, "size": (64, 64), "hold": _HELD},
}
"""The settings of each that differ from the defaults; the last two are for trainings without a GPU."""


def register() -> None:
    """Registers the environments; done when ``weakspot`` is imported, so that ``gymnasium.make`` finds them under
    ``weakspot:weakspot/Drive-v0``, too."""
    for name, settings in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=_ENTRY, kwargs=settings)

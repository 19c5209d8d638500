"""Makes the driving environments known to gymnasium, without loading what they need."""

from __future__ import annotations

import gymnasium

DRIVE, DRIVE_SEMANTIC = "weakspot/Drive-v0", "weakspot/DriveSemantic-v0"
_ENTRY = "weakspot.envs.driving.env:DriveEnv"


def register() -> None:
    """Registers the environments; done when ``weakspot`` is imported, so that ``gymnasium.make`` finds them under
    ``weakspot:weakspot/Drive-v0``, too."""
    if DRIVE not in gymnasium.registry:
        gymnasium.register(DRIVE, entry_point=_ENTRY)
        gymnasium.register(DRIVE_SEMANTIC, entry_point=_ENTRY, kwargs={"sensors": ("classes",), "frames": 4})

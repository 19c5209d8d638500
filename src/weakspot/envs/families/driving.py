"""The driving environments, such as ``weakspot/DriveSemantic-v0``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from weakspot.envs.driving.registration import ENVIRONMENTS

if TYPE_CHECKING:
    from weakspot.envs.base import Environment


def recognises(reference: str) -> bool:
    """Whether the reference is the id of a driving environment."""
    return reference in ENVIRONMENTS


def factory(reference: str) -> Callable[[], Environment]:
    """A function that makes the driving environment.

    Raises:
        ConfigError: embreex, which its sensors need, is not installed.
    """
    from weakspot.envs.driving.environment import DriveEnvironment

    return partial(DriveEnvironment, reference)

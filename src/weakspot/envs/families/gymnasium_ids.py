"""Environments of gymnasium by their ids, shown as four gray frames of 84x84."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from weakspot.envs.description import Description
from weakspot.system.user_code import import_named

if TYPE_CHECKING:
    from weakspot.envs.base import Environment


def recognises(reference: str) -> bool:
    """Whether the reference is an id that gymnasium knows, or has the form ``module:id``."""
    import gymnasium

    return ":" in reference or reference in gymnasium.registry


def factory(reference: str) -> Callable[[], Environment]:
    """A function that makes the environment with the default description; the module in ``module:id`` may be in the current
    folder.

    Raises:
        ConfigError: the module cannot be imported.
    """
    from weakspot.envs.described import DescribedEnvironment

    import_named(reference, Path.cwd())
    return partial(DescribedEnvironment, Description(reference))

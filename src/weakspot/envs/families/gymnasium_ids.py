"""Environments of gymnasium by their ids, shown as four gray frames of 84x84."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from weakspot.envs.description import Description

if TYPE_CHECKING:
    from weakspot.envs.base import Environment


def recognises(reference: str) -> bool:
    """Whether the reference is an id that gymnasium knows, or has the form ``module:id``."""
    import gymnasium

    return ":" in reference or reference in gymnasium.registry


def factory(reference: str) -> Callable[[], Environment]:
    """A function that makes the environment with the default description."""
    from weakspot.envs.described import DescribedEnvironment

    return partial(DescribedEnvironment, Description(reference))

"""Environments of gymnasium that a TOML file describes; see :mod:`weakspot.envs.description`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from weakspot.envs.description import read_description

if TYPE_CHECKING:
    from weakspot.envs.base import Environment


def recognises(reference: str) -> bool:
    """Whether the reference is the path of a TOML file."""
    return reference.endswith(".toml")


def factory(reference: str) -> Callable[[], Environment]:
    """A function that makes the environment that the file describes.

    Raises:
        ConfigError: the file cannot be read.
    """
    from weakspot.envs.described import DescribedEnvironment

    return partial(DescribedEnvironment, read_description(Path(reference).expanduser()))

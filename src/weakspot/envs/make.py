"""Makes environments from references: an Atari game, a gymnasium id, a TOML file, or an environment of another package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from weakspot.envs.description import Description, read_description
from weakspot.envs.families.description import factory_of
from weakspot.envs.family import GYMNASIUM, family_of, load_family
from weakspot.system.user_code import import_named

if TYPE_CHECKING:
    from weakspot.envs.base import Environment


def find_description(name: str) -> Description | None:
    """The description of a reference: the content of a TOML file, or the default one for an id of gymnasium; None for Atari
    games, driving environments, and those of other packages.

    Raises:
        ConfigError: the file cannot be read.
        UnknownGameError: there is no such environment.
    """
    family = family_of(name)
    if family == "description":
        path = Path(name).expanduser()
        description = read_description(path)
        import_named(description.id, path.parent)
        return description
    return Description(name) if family == GYMNASIUM else None


def environment_factory(environment: str | Description) -> Callable[[], Environment]:
    """A function that makes copies of an environment.

    Args:
        environment: a reference that :func:`weakspot.envs.family.family_of` recognises, or a description.

    Raises:
        UnknownGameError: there is no such environment.
        ConfigError: its description cannot be read, or a package that it needs is not installed.
    """
    if isinstance(environment, Description):
        return factory_of(environment, Path.cwd())
    return load_family(family_of(environment)).factory(environment)

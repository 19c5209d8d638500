"""Environments that a TOML file describes; see :mod:`weakspot.envs.description`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from weakspot.envs.description import Description, read_description
from weakspot.envs.families import atari, driving
from weakspot.errors import ConfigError
from weakspot.system.user_code import import_named

if TYPE_CHECKING:
    from weakspot.envs.atari import AtariConfig
    from weakspot.envs.base import Environment

ATARI_ARGUMENTS = {"frameskip", "repeat_action_probability", "full_action_space"}
"""Arguments of ``gymnasium.make`` with which an Atari game is played by its emulator, without gymnasium."""


def recognises(reference: str) -> bool:
    """Whether the reference is the path of a TOML file."""
    return reference.endswith(".toml")


def factory(reference: str) -> Callable[[], Environment]:
    """A function that makes the environment that the file describes.

    Raises:
        ConfigError: the file cannot be read.
    """
    path = Path(reference).expanduser()
    return factory_of(read_description(path), path.parent)


def factory_of(description: Description, folder: Path) -> Callable[[], Environment]:
    """A function that makes a described environment: an Atari game on its emulator, a driving environment with other
    settings, or any other with gymnasium.

    Args:
        description: of the environment.
        folder: the module in an id ``module:id`` may be in it.

    Raises:
        ConfigError: the description contradicts itself, or the module cannot be imported.
    """
    if atari.recognises(description.id) and description.make.keys() <= ATARI_ARGUMENTS:
        from weakspot.envs.atari import AtariEnvironment

        return partial(AtariEnvironment, atari_config(description))
    if driving.recognises(description.id):
        return _town(description)
    from weakspot.envs.described import DescribedEnvironment

    import_named(description.id, folder)
    return partial(DescribedEnvironment, description)


def _town(description: Description) -> Callable[[], Environment]:
    """A function that makes a driving environment with the settings in ``[make]``.

    Raises:
        ConfigError: the description says how frames are made, which the sensors of the town decide, or ``[make]`` has
            something else than settings of the town.
    """
    from weakspot.envs.driving.env import DriveEnv
    from weakspot.envs.driving.environment import DriveEnvironment

    usual = Description(description.id, size=None)
    others = [field.name for field in fields(Description) if field.name != "make"]
    changed = [name for name in others if getattr(description, name) != getattr(usual, name)]
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} for {description.id}",
            expected="only settings of the town in [make]: its sensors make the frames",
            todo="leave them out, or choose another of the driving environments",
        )
    settings = list(signature(DriveEnv).parameters)
    if unknown := sorted(description.make.keys() - settings):
        raise ConfigError(f"{', '.join(unknown)} in [make] for {description.id}", expected=f"some of {', '.join(settings)}")
    return partial(DriveEnvironment, description.id, **description.make)


def atari_config(description: Description) -> AtariConfig:
    """The settings of an Atari game that a description describes.

    Raises:
        ConfigError: the actions are named, which have their own names in Atari games, or an argument is invalid.
    """
    from weakspot.envs.atari import AtariConfig

    if description.actions is not None:
        raise ConfigError(
            f"actions = {list(description.actions)} for {description.id}",
            expected="no names: the actions of Atari games are called NOOP, FIRE, UP and so on",
            todo="leave out actions",
        )
    make = description.make
    skip: Any = description.frame_skip
    if skip is None and make.get("frameskip", 1) != 1:
        skip = make["frameskip"]
        if isinstance(skip, list):  # a range, from the first number to one less than the second
            least, beyond = cast("list[int]", skip)
            skip = (least, beyond)
    return AtariConfig(
        game=description.id,
        frame_skip=skip,
        maximum=description.maximum,
        frames=description.frames,
        reduction=description.reduction,
        repeat_action_probability=make.get("repeat_action_probability"),
        full_action_space=bool(make.get("full_action_space", False)),
    )

"""One way to name an environment, and to make copies of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import gymnasium

from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.base import Environment
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description, read_description
from weakspot.envs.driving.registration import ENVIRONMENTS
from weakspot.errors import UnknownGameError
from weakspot.games import resolve_game


def described(name: str) -> Description | None:
    """The description that a name stands for: a TOML file, or the id of an environment that is no Atari game; None for the
    driving environments and for everything else, which is then taken for an Atari game.

    Raises:
        ConfigError: the file cannot be read.
        UnknownGameError: the name is neither gymnasium's nor that of a game.
    """
    if name in ENVIRONMENTS:
        return None
    if name.endswith(".toml"):
        return read_description(Path(name).expanduser())
    known = gymnasium.registry.get(name)
    if ":" in name or (known is not None and not str(known.entry_point).startswith("ale_py")):
        return Description(name)
    try:
        resolve_game(name)
    except UnknownGameError as error:
        near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.7)
        raise UnknownGameError(
            f"no environment is called {name!r}: gymnasium has no such id here, and there is no such Atari game",
            expected=" or ".join(near) + ", perhaps" if near else error.expected,
            todo=error.todo if not near else "install the package that the environment comes with, or write module:id",
        ) from error
    return None


def environment_factory(environment: str | Description) -> Callable[[], Environment]:
    """Makes copies of an environment: an Atari game by its name or id, a driving environment by its id, or one that is
    described.

    Raises:
        ConfigError: a driving environment, and what its sensors need is not installed.
    """
    if isinstance(environment, Description):
        return lambda: DescribedEnvironment(environment)
    if environment in ENVIRONMENTS:
        from weakspot.envs.driving.environment import DriveEnvironment  # needs embreex

        return lambda: DriveEnvironment(environment)
    return lambda: AtariEnvironment(AtariConfig(game=environment))

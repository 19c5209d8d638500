"""One way to name an environment: :func:`environment_factory`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium

from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.base import Environment
from weakspot.envs.described import DescribedEnvironment, Description, read_description


def described(name: str) -> Description | None:
    """The description that a name stands for: a TOML file, or the id of an environment that is no Atari game; None for
    everything else, which is then taken for an Atari game.

    Raises:
        ConfigError: the file cannot be read.
    """
    if name.endswith(".toml"):
        return read_description(Path(name).expanduser())
    known = gymnasium.registry.get(name)
    if ":" in name or (known is not None and not str(known.entry_point).startswith("ale_py")):
        return Description(name)
    return None


def environment_factory(name: str) -> Callable[[], Environment]:
    """Makes copies of an environment.

    Args:
        name: an Atari game or its id, any other id of gymnasium, or a TOML file that describes one.

    Raises:
        ConfigError: the description cannot be read.
    """
    description = described(name)
    if description is None:
        return lambda: AtariEnvironment(AtariConfig(game=name))
    return lambda: DescribedEnvironment(description)

"""Atari games, under any of their names and ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from weakspot.errors import UnknownGameError
from weakspot.games import game_version, resolve_game

if TYPE_CHECKING:
    from weakspot.envs.base import Environment


def recognises(reference: str) -> bool:
    """Whether the reference is a name or an id of an Atari game, and not that of another environment of gymnasium, such as
    ``Blackjack-v1``.

    Raises:
        UnknownGameError: the game exists, but not this version of it, or its observations are no images.
    """
    import gymnasium

    registered = gymnasium.registry.get(reference)
    if ":" in reference or (registered is not None and not str(registered.entry_point).startswith("ale_py")):
        return False
    try:
        resolve_game(reference)
    except UnknownGameError:
        return False
    game_version(reference)
    return True


def factory(reference: str) -> Callable[[], Environment]:
    """A function that makes an emulator with the game."""
    from weakspot.envs.atari import AtariConfig, AtariEnvironment

    return partial(AtariEnvironment, AtariConfig(game=reference))

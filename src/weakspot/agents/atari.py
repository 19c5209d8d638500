"""Names: Atari games as the emulator calls them, environment ids, and what the actions of a game are called."""

from __future__ import annotations

import difflib
import re
from functools import cache

from ale_py import ALEInterface, LoggerMode, roms
from ale_py.registration import rom_id_to_name

from weakspot.errors import UnknownGameError

_DECORATION = re.compile(r"(NoFrameskip)?(-(ram-)?v\d+)?$")


def game_of(environment: str) -> str:
    """The emulator's name of the game (``space_invaders``) behind an environment id or a name in any spelling.

    Understood are ``SpaceInvadersNoFrameskip-v4``, ``ALE/SpaceInvaders-v5``, ``space_invaders`` and ``Space Invaders``.

    Raises:
        UnknownGameError: no such game.
    """
    bare = _DECORATION.sub("", environment.removeprefix("ALE/"))
    spellings = {_letters(rom): rom for rom in roms.get_all_rom_ids()}
    game = spellings.get(_letters(bare))
    if game is None:
        near = [spellings[key] for key in difflib.get_close_matches(_letters(bare), spellings, n=3)]
        raise UnknownGameError(
            f"no Atari game is called {environment!r}",
            expected=f"{' or '.join(near)}, perhaps" if near else "an id such as PongNoFrameskip-v4",
            todo="look at ale_py.roms.get_all_rom_ids() for all names",
        )
    return game


def environment_id(environment: str) -> str:
    """The id this package uses, ``PongNoFrameskip-v4``, from whatever :func:`game_of` understands."""
    return f"{rom_id_to_name(game_of(environment))}NoFrameskip-v4"


@cache
def minimal_actions(game: str) -> tuple[str, ...]:
    """What the actions of a game do, in the emulator's order: ``("NOOP", "FIRE", ...)``.  ``game``: the ROM."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    emulator = ALEInterface()
    rom = roms.get_rom_path(game)
    if rom is None:
        raise UnknownGameError(f"no ROM is called {game!r}", todo="give the name that game_of returns")
    emulator.loadROM(rom)
    return tuple(action.name for action in emulator.getMinimalActionSet())


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

"""Names of Atari games: whatever people write, turned into the name of a ROM."""

from __future__ import annotations

import difflib
import re
from functools import cache

from ale_py import Action, ALEInterface, LoggerMode, roms
from ale_py.registration import rom_id_to_name

from weakspot.errors import UnknownGameError
from weakspot.interface import Interface

ATARI_OBSERVATION = (4, 84, 84)
"""Of the agents of nearly all frameworks: four gray frames."""

STICKY = 0.25
"""Probability that the emulator repeats the previous action under the ids that have sticky actions."""


@cache
def game_names() -> tuple[str, ...]:
    """Names of all ROMs that come with ale-py, such as ``pong`` and ``space_invaders``."""
    return tuple(sorted(roms.get_all_rom_ids()))


def resolve_game(name: str) -> str:
    """The ROM behind a name.

    Args:
        name: such as ``pong``, ``Pong``, ``PongNoFrameskip-v4`` or ``ALE/Pong-v5``.

    Returns:
        The ROM's name, such as ``pong``.

    Raises:
        UnknownGameError: there is no such game; the message names the nearest ones.
    """
    known = {_letters(game): game for game in game_names()}
    wanted = _letters(_without_variant(name))
    if wanted in known:
        return known[wanted]
    near = [known[letters] for letters in difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)]
    raise UnknownGameError(
        f"no Atari game is called {name!r}",
        expected=f"one of the {len(known)} games of ale-py, such as pong, PongNoFrameskip-v4 or ALE/Pong-v5",
        todo=f"did you mean {' or '.join(near)}?" if near else "see weakspot.games.game_names() for all of them",
    )


def id_in(text: str) -> str | None:
    """The id of an Atari environment that stands in a name of a file or folder, such as that of a training, if any."""
    found = re.search(r"[A-Z]\w*?NoFrameskip-v\d+|ALE[-/][A-Z]\w*?-v5", re.sub(r"_(?=[A-Z])|__", " ", text))
    if not found:
        return None
    name = found.group().replace("ALE-", "ALE/")
    return name if _letters(_without_variant(name)) in map(_letters, game_names()) else None


def is_game(environment: str, title: str) -> bool:
    """Whether an environment's id, which need not be that of an Atari game, is one of the game ``title``, such as Pong."""
    return environment.removeprefix("ALE/").startswith(title)


def sticky_actions(name: str) -> float:
    """Probability of a repeated action that an id stands for: 0.25 for ``-v5`` and ``-v0``, otherwise 0."""
    return STICKY if re.search(r"-v[05]$", name) else 0.0


def environment_id(name: str, repeat_action_probability: float = 0.0) -> str:
    """The usual id of a game: ``PongNoFrameskip-v4``, or ``ALE/Pong-v5`` with sticky actions."""
    title = rom_id_to_name(resolve_game(name))
    return f"ALE/{title}-v5" if repeat_action_probability == STICKY else f"{title}NoFrameskip-v4"


@cache
def minimal_actions(game: str) -> tuple[Action, ...]:
    """The actions a ROM makes use of, in the emulator's order."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    emulator = ALEInterface()
    emulator.loadROM(str(roms.get_rom_path(game)))
    return tuple(emulator.getMinimalActionSet())


def action_names(name: str) -> tuple[str, ...]:
    """What the actions that a game makes use of are called, in the emulator's order: ``("NOOP", "FIRE", ...)``."""
    return tuple(action.name for action in minimal_actions(resolve_game(name)))


def interface(name: str) -> Interface:
    """What an agent for a game has to fit: four gray frames of 84x84, and the actions that the game makes use of.

    Raises:
        UnknownGameError: no such game.
    """
    return Interface(environment_id(name, sticky_actions(name)), action_names(name), ATARI_OBSERVATION)


def all_actions() -> tuple[Action, ...]:
    """All 18 actions, in the emulator's order."""
    return tuple(Action(number) for number in range(18))


def _without_variant(name: str) -> str:
    name = re.sub(r"-v\d+$", "", name.strip().removeprefix("ALE/"))
    return re.sub(r"(-ram)?(NoFrameskip|Deterministic)?$", "", name)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

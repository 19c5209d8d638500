"""Names of Atari games, and the environment ids and actions that belong to them.

Importing this module loads neither the emulator nor numpy; only functions that return actions load ale-py.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from weakspot.errors import ConfigError, UnknownGameError
from weakspot.interface import Interface

if TYPE_CHECKING:
    from ale_py import Action

ATARI_OBSERVATION = (4, 84, 84)
"""Observation shape that nearly all frameworks use: four gray frames."""

STICKY = 0.25
"""Probability that the emulator repeats the previous action, for environment ids with sticky actions."""


@cache
def game_names() -> tuple[str, ...]:
    """Names of all ROMs that come with ale-py, such as ``pong`` and ``space_invaders``."""
    package = find_spec("ale_py")  # finds the package without importing it
    if package is None or package.origin is None:
        raise ConfigError("ale-py is not installed", expected="ale-py with its ROMs", todo="pip install ale-py")
    checksums: dict[str, str] = json.loads((Path(package.origin).parent / "roms" / "md5.json").read_text())
    return tuple(sorted(file.split(".")[0] for file in checksums))


def resolve_game(name: str) -> str:
    """Returns the name of the ROM, such as ``pong``, for any name of a game.

    Args:
        name: such as ``pong``, ``Pong``, ``PongNoFrameskip-v4`` or ``ALE/Pong-v5``.

    Raises:
        UnknownGameError: there is no such game; the message suggests similar names.
    """
    games = {_letters(game): game for game in game_names()}
    letters = _letters(_without_variant(name))
    if letters in games:
        return games[letters]
    similar = [games[close] for close in difflib.get_close_matches(letters, games, n=3, cutoff=0.5)]
    raise UnknownGameError(
        f"no Atari game is called {name!r}",
        expected=f"one of the {len(games)} games of ale-py, such as pong, PongNoFrameskip-v4 or ALE/Pong-v5",
        todo=f"did you mean {' or '.join(similar)}?" if similar else "weakspot.games.game_names() lists all of them",
    )


@dataclass(frozen=True)
class GameVersion:
    """How an id of an Atari environment says that the game is played, as gymnasium and ale-py define it.

    Attributes:
        frame_skip: emulator frames per step; a pair for a number drawn anew in each step, from the first to one less than
            the second.
        maximum: a frame is the pixel maximum over this many of the last emulator frames of a step.
        sticky: probability that the emulator repeats the previous action.
    """

    frame_skip: int | tuple[int, int]
    maximum: int
    sticky: float


def game_version(name: str) -> GameVersion:
    """How a game is played by its name or id.

    A name alone, ids with ``NoFrameskip`` and ``ALE/...-v5`` mean the usual wrappers: four emulator frames per step, and the
    maximum over the last two.  ``PongDeterministic-v4`` skips frames by itself, four of them (three in Space Invaders), and
    ``Pong-v4`` two to four at random; both show the last frame.  Versions 0 and 5 have sticky actions.

    Raises:
        UnknownGameError: there is no such version, or its observations are the memory instead of images.
    """
    words = re.fullmatch(r"(ALE/)?(.*?)(-ram)?(NoFrameskip|Deterministic)?(?:-v(\d+))?", name.strip())
    assert words is not None, "the pattern fits every text"
    is_new, _, is_ram, kind, number = words.groups()
    if is_ram:
        raise UnknownGameError(
            f"the observations of {name} are the memory of the emulator",
            expected="an environment whose observations are images",
            todo="weakspot needs an agent that sees images",
        )
    known = number is None or (number == "5" and not kind if is_new else number in ("0", "4"))
    if not known:
        raise UnknownGameError(
            f"there is no version {name}",
            expected="ALE/Pong-v5; Pong, PongDeterministic or PongNoFrameskip with -v0 or -v4",
            todo="check the id",
        )
    sticky = STICKY if number in ("0", "5") else 0.0
    if kind == "Deterministic":
        return GameVersion(3 if resolve_game(name) == "space_invaders" else 4, 1, sticky)
    if is_new or kind or number is None:
        return GameVersion(4, 2, sticky)
    return GameVersion((2, 5), 1, sticky)


def find_environment_id(text: str) -> str | None:
    """Finds the id of an Atari environment inside the name of a file or folder; None if there is none."""
    match = re.search(
        r"[A-Z]\w*?(?:NoFrameskip|Deterministic)-v\d+|ALE[-/][A-Z]\w*?-v\d+|[A-Z]\w*?-v[04](?!\d)",
        re.sub(r"_(?=[A-Z])|__", " ", text),
    )
    if not match:
        return None
    name = match.group().replace("ALE-", "ALE/")
    return name if _letters(_without_variant(name)) in map(_letters, game_names()) else None


def is_game(environment: str, title: str) -> bool:
    """Whether the environment id is one of the game ``title``, such as ``Pong``; the id may be of any environment."""
    return environment.removeprefix("ALE/").startswith(title)


def environment_id(name: str, repeat_action_probability: float = 0.0) -> str:
    """The usual id of a game: ``PongNoFrameskip-v4``, or ``ALE/Pong-v5`` with sticky actions."""
    title = resolve_game(name).title().replace("_", "")
    return f"ALE/{title}-v5" if repeat_action_probability == STICKY else f"{title}NoFrameskip-v4"


def played_id(name: str, repeat_action_probability: float | None = None) -> str:
    """The id under which a game is recorded: the usual one, or that of the version if it is played in another way.

    Args:
        name: a name or an id of the game.
        repeat_action_probability: None for what the id implies.
    """
    version = game_version(name)
    sticky = version.sticky if repeat_action_probability is None else repeat_action_probability
    if version.maximum == 2:
        return environment_id(name, sticky)
    title = resolve_game(name).title().replace("_", "")
    kind = "" if isinstance(version.frame_skip, tuple) else "Deterministic"
    return f"{title}{kind}-v{0 if sticky else 4}"


@cache
def minimal_actions(game: str) -> tuple[Action, ...]:
    """The actions that have an effect in the ROM ``game``, in the emulator's order."""
    from ale_py import ALEInterface, roms

    silence_emulator()
    emulator = ALEInterface()
    emulator.loadROM(str(roms.get_rom_path(game)))  # pyright: ignore[reportUnknownMemberType]  # ale-py's stub: os.PathLike
    return tuple(emulator.getMinimalActionSet())


def silence_emulator() -> None:
    """Makes emulators that are created afterwards print errors only, no banner."""
    from ale_py import ALEInterface, LoggerMode

    ALEInterface.setLoggerMode(LoggerMode.Error)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # ale-py's stub


def action_names(name: str) -> tuple[str, ...]:
    """Names of the actions that have an effect in a game, in the emulator's order: ``("NOOP", "FIRE", ...)``."""
    return tuple(action.name for action in minimal_actions(resolve_game(name)))


def interface(name: str) -> Interface:
    """What an agent for a game has to match: four gray frames of 84x84, and the actions that have an effect.

    Raises:
        UnknownGameError: there is no such game.
    """
    return Interface(played_id(name), action_names(name), ATARI_OBSERVATION)


def all_actions() -> tuple[Action, ...]:
    """All 18 actions, in the emulator's order."""
    from ale_py import Action

    return tuple(Action(number) for number in range(18))


def _without_variant(name: str) -> str:
    name = re.sub(r"-v\d+$", "", name.strip().removeprefix("ALE/"))
    return re.sub(r"(-ram)?(NoFrameskip|Deterministic)?$", "", name)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

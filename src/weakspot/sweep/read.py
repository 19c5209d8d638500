"""Reads sweep files.

output = "runs/sweep"
games = ["pong", "boxing"]
recipes = ["fast", "paper"]
targets = [["T-", "LEFT"]]
seeds = [0, 1, 2]

[run]
collect.frames = 20_000
train.minutes = 20

[[agents]]
train = "double-dqn"
settings.steps = 600_000
"""

from __future__ import annotations

import tomllib
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from weakspot.errors import ConfigError, WeakspotError
from weakspot.sweep.config import Sweep, SweepAgent, SweepGame
from weakspot.sweep.settings import convert, with_underscores

KEYS = tuple(Sweep.__dataclass_fields__)


def read_sweep(path: Path) -> Sweep:
    """Reads a sweep file.

    Raises:
        ConfigError: the file cannot be read, or has unknown keys or invalid values.
    """
    try:
        entries = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", expected="a sweep as TOML", todo="see docs/clusters.md for an example"
        ) from error
    try:
        return sweep_of(entries)
    except WeakspotError as error:
        raise ConfigError(f"{path}: {error.seen}", expected=error.expected, todo=error.todo) from error


def sweep_of(entries: dict[str, Any]) -> Sweep:
    """The sweep that the entries of a file describe.

    Raises:
        ConfigError: an entry is unknown or invalid.
    """
    entries = with_underscores(entries)
    entries["games"] = _tables(entries.get("games", []), SweepGame, "environment", "games")
    entries["agents"] = _tables(entries.get("agents", []), SweepAgent, "agent", "agents")
    return convert(entries, Sweep, "")


def _tables(entries: Any, kind: type[Any], first: str, place: str) -> list[dict[str, Any]]:
    """Entries as tables: a string stands for a table with one key."""
    assert is_dataclass(kind)
    if not isinstance(entries, list):
        raise ConfigError(f"{place} is {entries!r}", expected=f"a list of strings, or tables [[{place}]]")
    return [{first: one} if isinstance(one, str) else one for one in cast("list[Any]", entries)]


def plain(sweep: Sweep) -> Any:
    """A sweep as plain data, for records."""
    return msgspec.to_builtins(sweep, enc_hook=str)

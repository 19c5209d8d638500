"""Types of single actions, and their names.  They need neither torch nor numpy, so that settings and keys can use them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import index
from typing import SupportsIndex, TypeAlias

Action: TypeAlias = SupportsIndex | Sequence[float]
"""One action: the index of a discrete one, or one value per dimension of a continuous one."""

Bounds: TypeAlias = tuple[tuple[float, float], ...]
"""(lowest, highest) value of each dimension of continuous actions."""


def plain_action(action: Action) -> int | tuple[float, ...]:
    """The action as plain data, for records."""
    return index(action) if isinstance(action, SupportsIndex) else tuple(float(value) for value in action)


def action_name(action: Action, names: Sequence[str]) -> str:
    """An action in words: its name, or its numbers."""
    plain = plain_action(action)
    return names[plain] if isinstance(plain, int) else f"({', '.join(f'{number:.2g}' for number in plain)})"


def named_runs(actions: Iterable[Action], names: Sequence[str]) -> list[tuple[str, int]]:
    """The names of actions, and how often in a row each is taken."""
    return [(action_name(action, names), len(list(run))) for action, run in groupby(actions)]

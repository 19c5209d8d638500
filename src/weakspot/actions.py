"""Types of single actions.  They need neither torch nor numpy, so that settings and keys can use them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import SupportsIndex, TypeAlias

Action: TypeAlias = SupportsIndex | Sequence[float]
"""One action: the index of a discrete one, or one value per dimension of a continuous one."""

Bounds: TypeAlias = tuple[tuple[float, float], ...]
"""(lowest, highest) value of each dimension of continuous actions."""


def plain_action(action: Action) -> int | tuple[float, ...]:
    """The action as plain data, for records."""
    return index(action) if isinstance(action, SupportsIndex) else tuple(float(value) for value in action)

"""Lists of names in error messages."""

from __future__ import annotations

from collections.abc import Iterable


def join_names(names: Iterable[str], at_most: int = 16) -> str:
    """Joins names with commas; those beyond ``at_most`` are counted instead, and no names at all give ``none``."""
    names = list(names)
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more if names else "none"

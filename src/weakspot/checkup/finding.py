"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what the check expects of the agent, such as "is deterministic".
        passed: whether the agent meets it; None if that cannot be told.
        seen: what was measured.
        todo: what to change if the check failed.
        equals: names of other changes that would do as well, as far as the check could tell.
    """

    name: str
    passed: bool | None
    seen: str
    todo: str = ""
    equals: tuple[str, ...] = ()

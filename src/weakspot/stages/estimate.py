"""How long stages take, said before a run starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weakspot.report.text import duration


@dataclass(frozen=True)
class Estimate:
    """How long the work of a stage takes.

    Attributes:
        seconds: of the clock, about.
        source: what it is derived from, such as "--train.minutes".
        is_bound: whether it takes at most that long.
    """

    seconds: float
    source: str
    is_bound: bool = False

    @property
    def text(self) -> str:
        """The time and what it is derived from."""
        return f"{'at most' if self.is_bound else 'about'} {duration(self.seconds)} ({self.source})"


def estimate_text(known: Mapping[str, Estimate], unknown: Sequence[str]) -> str:
    """One line for the user.

    Args:
        known: by the names of results.
        unknown: names of other results that will be made.
    """
    parts = [f"{name} {estimate.text}" for name, estimate in known.items()]
    others = f"not estimated: {', '.join(unknown)}" if unknown else ""
    return f"estimated time: {'; '.join([*parts, others] if others else parts)}"

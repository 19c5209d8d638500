"""Artifact of the overconfidence stage: how good the estimate of how much more the agent gets than it expects is.

The estimate itself is in :mod:`weakspot.artifacts.surplus`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from weakspot.artifacts.schema import read_artifact, write_artifact

FILE = "overconfidence.json"


@dataclass(frozen=True)
class Overconfidence:
    """How well the estimated surplus, return minus expectation, agrees with recorded play that its fit did not see.

    Attributes:
        correlation, low, high: correlation between the estimate and the return less what the agent expected, with its 95 %
            interval.
        states: recorded states with a complete return that it was fitted to.
        horizon, gamma: decisions of the returns, and the discount of each.
        strength: weight of the regression's penalty.
        share: of the states, those with the lowest estimates, that the next two are about.
        expected: the mean return that the agent expected there, calibrated.
        got: the mean return that followed.
    """

    SCHEMA: ClassVar[int] = 1
    correlation: Annotated[float, msgspec.Meta(ge=-1, le=1)]
    low: float
    high: float
    states: Annotated[int, msgspec.Meta(ge=0)]
    horizon: Annotated[int, msgspec.Meta(ge=1)]
    gamma: float
    strength: float
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    expected: float
    got: float


def write_overconfidence(folder: Path, record: Overconfidence) -> None:
    """Writes the record; raises :class:`RunError` if a number is out of range."""
    write_artifact(folder / FILE, record)


def read_overconfidence(folder: Path) -> Overconfidence:
    """Reads the record; raises :class:`RunError` if it is damaged."""
    return read_artifact(folder / FILE, Overconfidence)

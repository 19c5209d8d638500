"""Artifact of the policy-values stage: what the action values of a policy are for one target, and how well they rank."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from weakspot.artifacts.schema import read_artifact, write_artifact

FILE = "policy_values.json"

Correlation = Annotated[float, msgspec.Meta(ge=-1, le=1)]


@dataclass(frozen=True)
class PolicyValues:
    """The action values q = V + tau (log pi + H(pi)) of an actor-critic, for one target.

    Attributes:
        tau: temperature.
        low, high: its 95 % interval; None if the user gave it.
        decisions: number of recorded decisions that it was fitted to; 0 if the user gave it.
        gamma: discount of a decision in the returns.
        correlation: Spearman's rank correlation between the values that the target asks about and the returns that followed
            the real states; None if either does not vary.
        value_correlation: the same for the critic's value.
        policy_correlation: the same for the target over log-probabilities instead of action values.
    """

    SCHEMA: ClassVar[int] = 1
    tau: Annotated[float, msgspec.Meta(gt=0)]
    low: float | None
    high: float | None
    decisions: Annotated[int, msgspec.Meta(ge=0)]
    gamma: float
    correlation: Correlation | None
    value_correlation: Correlation | None
    policy_correlation: Correlation | None


def write_policy_values(folder: Path, values: PolicyValues) -> None:
    """Writes the artifact; raises :class:`RunError` if a number is out of range."""
    write_artifact(folder / FILE, values)


def read_policy_values(folder: Path) -> PolicyValues:
    """Reads the artifact; raises :class:`RunError` if it is damaged."""
    return read_artifact(folder / FILE, PolicyValues)

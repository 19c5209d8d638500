"""Artifact of the collect stage beside the states themselves: how many, how fast, and the scores of the episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from weakspot.artifacts.schema import read_artifact, write_artifact

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Collection:
    """The states that the agent was recorded in.

    Attributes:
        frames: number of states.
        epsilon: share of random actions.
        episode_scores: of the episodes that ended.
        seconds: the collection took, in its last process.
        decisions_per_second: of that process.
    """

    SCHEMA: ClassVar[int] = 1
    frames: int
    epsilon: float
    episode_scores: tuple[float, ...]
    seconds: float
    decisions_per_second: float


def write_collection(folder: Path, collection: Collection) -> None:
    """Writes the artifact."""
    write_artifact(folder / SUMMARY, collection)


def read_collection(folder: Path) -> Collection:
    """Reads the artifact; raises :class:`RunError` if it is damaged."""
    return read_artifact(folder / SUMMARY, Collection)

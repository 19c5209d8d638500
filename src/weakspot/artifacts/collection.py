"""Artifact of the collect stage, besides the states themselves: their number, the speed, and the scores of the episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from weakspot.artifacts.schema import read_artifact, write_artifact

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Collection:
    """Summary of the recorded states.

    Attributes:
        frames: number of states.
        epsilon: probability of a random action.
        episode_scores: scores of the finished episodes.
        seconds: duration of the collection since its last resume.
        decisions_per_second: speed since then.
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

"""Artifact of the subject stage: the agent under test and its environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec

from weakspot.artifacts.schema import read_artifact, write_artifact

Bounds: TypeAlias = tuple[tuple[float, float], ...]
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Level: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=255)]
Colour: TypeAlias = tuple[Level, Level, Level]

SUBJECT = "subject.json"


@dataclass(frozen=True)
class EnvironmentRecord:
    """The environment, see :class:`weakspot.envs.base.EnvironmentSpec`.

    Attributes:
        id: such as ``PongNoFrameskip-v4``.
        action_names: of discrete actions, or of the dimensions of continuous actions.
        frames: k, the number of frames of a state.
        height, width: of a frame, in pixels.
        channels: of a frame; 3 for colour.
        preprocessing: settings that turn frames into observations.
        gray: whether the agent sees gray frames.
        ram: size of the emulator's memory in bytes, 0 if it has none.
        action_bounds: smallest and largest value of each dimension of continuous actions, or None.
        channel_colours: a colour for drawing each channel if the channels are not colours themselves, or None.
        action_parts: numbers of choices of the parts of an action, if the actions are all combinations of these, or None.
        entries: names and sizes of what the environment gives beside its image, or None.
    """

    id: str
    action_names: tuple[str, ...]
    frames: Positive
    height: Positive
    width: Positive
    channels: Positive
    preprocessing: dict[str, Any]
    gray: bool = True
    ram: int = 0
    action_bounds: Bounds | None = None
    channel_colours: Annotated[tuple[Colour, ...], msgspec.Meta(min_length=1)] | None = None
    action_parts: tuple[Positive, ...] | None = None
    entries: tuple[tuple[str, int], ...] | None = None


@dataclass(frozen=True)
class Card:
    """The agent's score in its evaluation, mean and standard deviation over ``episodes``, and how it was trained."""

    score_mean: float
    score_std: float
    episodes: int
    steps: int
    algorithm: str
    command: str


@dataclass(frozen=True)
class AgentRecord:
    """The agent, see :class:`weakspot.agents.base.AgentSpec`; ``card`` is None if its file has none."""

    name: str
    environment: str
    action_names: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    scores_are: Literal["q-values", "log-probabilities", "means"]
    acts: Literal["greedy", "sampled"]
    fingerprint: str
    action_bounds: Bounds | None = None
    card: Card | None = None

    @property
    def continuous(self) -> bool:
        """Whether its actions are continuous."""
        return self.action_bounds is not None


@dataclass(frozen=True)
class SubjectRecord:
    """Agent and environment, and whether the agent has a critic."""

    SCHEMA: ClassVar[int] = 1
    agent: AgentRecord
    environment: EnvironmentRecord
    has_critic: bool


def write_subject(folder: Path, record: SubjectRecord) -> None:
    """Writes the artifact."""
    write_artifact(folder / SUBJECT, record)


def read_subject(folder: Path) -> SubjectRecord:
    """Reads the artifact; raises :class:`RunError` if it is damaged."""
    return read_artifact(folder / SUBJECT, SubjectRecord)

"""What weakspot needs of an environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from weakspot.errors import ConfigError
from weakspot.interface import Interface
from weakspot.types import Observation, State


@dataclass(frozen=True)
class EnvironmentSpec:
    """What is known about an environment without playing it.

    Attributes:
        id: such as ``PongNoFrameskip-v4``.
        action_names: such as ``("NOOP", "FIRE", "RIGHT", ...)``.
        frames: k, the number of frames in a state.
        height, width: of a frame, in pixels.
        channels: 3 for colour.
        gray: whether the agent sees gray frames.
        ram: bytes of the emulator's memory, 0 where there is none.
        preprocessing: how observations come about, for the records.
    """

    id: str
    action_names: tuple[str, ...]
    frames: int
    height: int
    width: int
    channels: int
    preprocessing: dict[str, Any]
    gray: bool = True
    ram: int = 0

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the agent's observation."""
        return self.frames * (1 if self.gray else self.channels), self.height, self.width

    @property
    def interface(self) -> Interface:
        """What its agents have to fit."""
        return Interface(self.id, self.action_names, self.observation_shape)


@dataclass(frozen=True)
class Step:
    """What one environment shows after a reset or a decision.

    Attributes:
        observation: what the agent sees (c, h, w), uint8.
        frame: the newest colour frame (h, w, 3), uint8.
        reward: of the decision, unclipped.
        terminated, truncated: the episode is over.
        life_lost: a life ended with this decision.
        ram: the emulator's memory, uint8, or an empty array.
    """

    observation: np.ndarray
    frame: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    life_lost: bool
    ram: np.ndarray


def check_decision(shown: Step | None, action: int, actions: int) -> None:
    """Raises :class:`ConfigError` where no episode is running, or where there is no such action."""
    if shown is None or shown.terminated or shown.truncated:
        raise ConfigError("a decision without a running episode", expected="reset() before step()")
    if not 0 <= action < actions:
        raise ConfigError(f"action {action}", expected=f"a number from 0 to {actions - 1}")


def last_shown(shown: Step | None) -> Step:
    """What is shown, for a snapshot; raises :class:`ConfigError` before the first reset."""
    if shown is None:
        raise ConfigError("a snapshot before the first episode", expected="reset() before snapshot()")
    return shown


@runtime_checkable
class Environment(Protocol):
    """One copy of an environment that can be stored and restored at any decision."""

    @property
    def spec(self) -> EnvironmentSpec: ...

    @property
    def observe(self) -> Callable[[State], Observation]:
        """The observation as a differentiable function of the state."""
        ...

    def reset(self, seed: int | None = None) -> Step:
        """Starts an episode; with a seed, restarts the random state from it."""
        ...

    def step(self, action: int) -> Step: ...

    def snapshot(self) -> bytes:
        """Everything needed to go on bit for bit: emulator and its random state, frame stack, pixel maximum, counters."""
        ...

    def restore(self, snapshot: bytes) -> Step:
        """Goes back to a snapshot and shows what it showed."""
        ...

    def close(self) -> None:
        """Lets go of what the environment holds: a process, a window."""
        ...

"""What weakspot needs of an environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any, Protocol, SupportsIndex, runtime_checkable

import numpy as np

from weakspot.errors import ConfigError
from weakspot.interface import Interface
from weakspot.types import Bounds, Decision, Observation, State


@dataclass(frozen=True)
class EnvironmentSpec:
    """What is known about an environment without playing it.

    Attributes:
        id: such as ``PongNoFrameskip-v4``.
        action_names: such as ``("NOOP", "FIRE", "RIGHT", ...)``, or the dimensions of continuous actions.
        frames: k, the number of frames in a state.
        height, width: of a frame, in pixels.
        channels: of a frame; 3 for colour.
        channel_colours: what people are shown each channel as, as far as it is there: red, green and blue, 0 to 255, which
            add up; None where the channels are colours themselves.
        gray: whether the agent sees gray frames.
        ram: bytes of the emulator's memory, 0 where there is none.
        preprocessing: how observations come about, for the records.
        action_bounds: of continuous actions; None where actions are discrete.
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
    action_bounds: Bounds | None = None
    channel_colours: tuple[tuple[int, int, int], ...] | None = None

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the agent's observation."""
        return self.frames * (1 if self.gray else self.channels), self.height, self.width

    @property
    def interface(self) -> Interface:
        """What its agents have to fit."""
        return Interface(self.id, self.action_names, self.observation_shape, self.action_bounds)


@dataclass(frozen=True)
class Step:
    """What one environment shows after a reset or a decision.

    Attributes:
        observation: what the agent sees (c, h, w), uint8.
        frame: the newest frame (h, w, c), uint8; in colour, c is 3.
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
    life_lost: bool = False
    ram: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))


def check_running(shown: Step | None) -> None:
    """Raises :class:`ConfigError` where no episode is running, so that nothing can be decided."""
    if shown is None or shown.terminated or shown.truncated:
        raise ConfigError("a decision without a running episode", expected="reset() before step()")


def discrete(decision: object, actions: int) -> int:
    """The number of an action; raises :class:`ConfigError` where there is no such one among ``actions``."""
    try:
        number = index(decision) if isinstance(decision, SupportsIndex) else -1
    except TypeError:  # an array of several, or of other numbers
        number = -1
    if not 0 <= number < actions:
        raise ConfigError(f"action {decision}", expected=f"a number from 0 to {actions - 1}")
    return number


def continuous(decision: object, names: Sequence[str], bounds: Bounds) -> list[float]:
    """The values of a continuous action; raises :class:`ConfigError` where they are too many, too few, or too far out."""
    try:
        named = isinstance(decision, str | bytes | Mapping)
        values = [float(value) for value in decision] if isinstance(decision, Iterable) and not named else []
    except (TypeError, ValueError):
        values = []
    within = [low <= value <= high for value, (low, high) in zip(values, bounds, strict=False)]
    if len(values) != len(bounds) or not all(within):
        told = (f"{name} from {low:g} to {high:g}" for name, (low, high) in zip(names, bounds, strict=True))
        raise ConfigError(f"action {decision}", expected=", ".join(told))
    return values


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

    def step(self, action: Decision) -> Step:
        """Takes an action: its number, or the values of continuous ones."""
        ...

    def snapshot(self) -> bytes:
        """Everything needed to go on bit for bit: emulator and its random state, frame stack, pixel maximum, counters."""
        ...

    def restore(self, snapshot: bytes) -> Step:
        """Goes back to a snapshot and shows what it showed."""
        ...

    def close(self) -> None:
        """Lets go of what the environment holds: a process, a window."""
        ...

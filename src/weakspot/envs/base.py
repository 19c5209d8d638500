"""The interface of environments: what weakspot needs to play, store and restore them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any, Protocol, SupportsIndex, cast, runtime_checkable

import numpy as np

from weakspot.actions import Action, Bounds
from weakspot.errors import ConfigError
from weakspot.interface import MASK, Interface
from weakspot.types import Observation, State


@dataclass(frozen=True)
class EnvironmentSpec:
    """Properties of an environment that are known without playing it.

    Attributes:
        id: such as ``PongNoFrameskip-v4``.
        action_names: names of the discrete actions, such as ``("NOOP", "FIRE", "RIGHT", ...)``, or of the dimensions of
            continuous actions.
        frames: k, number of frames in a state.
        height, width: of a frame, in pixels.
        channels: of a frame; 3 for colour.
        channel_colours: display colour of each channel, red, green and blue from 0 to 255; the display adds the colours up,
            each weighted by its channel.  None if the channels are red, green and blue themselves.
        gray: whether the agent sees gray frames.
        ram: size of the emulator's memory in bytes, 0 if there is none.
        preprocessing: how observations are computed, for the records.
        action_bounds: bounds of each dimension of continuous actions; None for discrete actions.
        action_parts, entries: see :class:`weakspot.interface.Interface`.
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
    action_parts: tuple[int, ...] | None = None
    entries: tuple[tuple[str, int], ...] | None = None

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the agent's observation."""
        return self.frames * (1 if self.gray else self.channels), self.height, self.width

    @property
    def interface(self) -> Interface:
        """What an agent has to match."""
        return Interface(
            self.id, self.action_names, self.observation_shape, self.action_bounds, self.action_parts, self.entries
        )

    @property
    def masks_actions(self) -> bool:
        """Whether some actions are forbidden in some states."""
        return self.action_bounds is None and any(name == MASK for name, _ in self.entries or ())

    def allowed(self, entries: np.ndarray) -> np.ndarray | None:
        """Which actions are allowed (n, a) in states with these entries (n, v); None if the environment has no mask."""
        position = 0
        for name, size in self.entries or ():
            if name == MASK and self.action_bounds is None:
                return entries[:, position : position + size] > 0.5
            position += size
        return None

    def allows(self, entries: np.ndarray, action: Action) -> bool:
        """Whether an action is allowed in a state with these entries (v,)."""
        allowed = self.allowed(entries[None])
        return is_allowed(action, None if allowed is None else allowed[0])


def is_allowed(action: Action, allowed: np.ndarray | None) -> bool:
    """Whether an action is among the ``allowed`` ones (a,); every one is for None."""
    return allowed is None or bool(allowed[index(cast(SupportsIndex, action))])


def _no_ram() -> np.ndarray:
    return np.zeros(0, np.uint8)


def _no_entries() -> np.ndarray:
    return np.zeros(0, np.float32)


@dataclass(frozen=True)
class Step:
    """What an environment returns after a reset or an action.

    Attributes:
        observation: (c, h, w) uint8, the agent's input.
        frame: (h, w, c) uint8, the newest frame of the state.
        reward: of the action, unclipped.
        terminated, truncated: whether the episode is over.
        life_lost: whether a life ended with this action.
        ram: the emulator's memory, uint8; an empty array if there is none.
        cause: why the episode ended, if the environment says so, such as ``pedestrian``.
        entries: what the environment gives beside its image (v,) float32, see :mod:`weakspot.envs.entries`; an empty array
            if it gives nothing.
    """

    observation: np.ndarray
    frame: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    life_lost: bool = False
    ram: np.ndarray = field(default_factory=_no_ram)
    cause: str = ""
    entries: np.ndarray = field(default_factory=_no_entries)


def check_running(last: Step | None, call: str = "step") -> None:
    """Raises :class:`ConfigError` unless an episode is running after the ``last`` step; ``call`` names the method."""
    if last is None or last.terminated or last.truncated:
        raise ConfigError(f"{call}() without a running episode", expected=f"reset() before {call}()")


def discrete(action: object, actions: int) -> int:
    """The index of a discrete action.

    Raises:
        ConfigError: ``action`` is not a whole number from 0 to ``actions - 1``.
    """
    try:
        number = index(action) if isinstance(action, SupportsIndex) else -1
    except TypeError:  # an array of several numbers, or of floating point numbers
        number = -1
    if not 0 <= number < actions:
        raise ConfigError(f"action {action}", expected=f"a number from 0 to {actions - 1}")
    return number


def continuous(action: object, names: Sequence[str], bounds: Bounds) -> list[float]:
    """The values of a continuous action.

    Raises:
        ConfigError: ``action`` has too many or too few values, or one outside its bounds.
    """
    try:
        is_row = isinstance(action, Iterable) and not isinstance(action, str | bytes | Mapping)
        values = [float(value) for value in cast("Iterable[Any]", action)] if is_row else []
    except (TypeError, ValueError):
        values = []
    inside = [low <= value <= high for value, (low, high) in zip(values, bounds, strict=False)]
    if len(values) != len(bounds) or not all(inside):
        ranges = (f"{name} from {low:g} to {high:g}" for name, (low, high) in zip(names, bounds, strict=True))
        raise ConfigError(f"action {action}", expected=", ".join(ranges))
    return values


def last_step(last: Step | None, call: str = "snapshot") -> Step:
    """The ``last`` step; raises :class:`ConfigError` if there has been no reset yet; ``call`` names the method."""
    if last is None:
        raise ConfigError(f"{call}() before the first episode", expected=f"reset() before {call}()")
    return last


@runtime_checkable
class Environment(Protocol):
    """One copy of an environment whose exact state can be stored and restored after any step."""

    @property
    def spec(self) -> EnvironmentSpec: ...

    @property
    def observe(self) -> Callable[[State], Observation]:
        """The observation as a differentiable function of the state."""
        ...

    def reset(self, seed: int | None = None) -> Step:
        """Starts an episode.  A seed sets the random state of this and all later episodes."""
        ...

    def step(self, action: Action) -> Step:
        """Takes an action: the index of a discrete one, or the values of a continuous one."""
        ...

    def snapshot(self) -> bytes:
        """Everything needed to continue bit for bit: emulator, random state, frame stack, pixel maximum, counters."""
        ...

    def restore(self, snapshot: bytes) -> Step:
        """Restores a snapshot, and returns the step that was current when it was taken."""
        ...

    def close(self) -> None:
        """Frees what the environment holds, such as a process or a window."""
        ...


@runtime_checkable
class Markable(Protocol):
    """What an environment may have in addition: marks, which are quicker than snapshots, but only valid in this object."""

    def mark(self) -> Any:
        """Everything needed to continue bit for bit in this object."""
        ...

    def go_back(self, mark: Any) -> Step:
        """Returns to a mark, and returns the step that was current when it was set."""
        ...


@runtime_checkable
class Reseedable(Protocol):
    """What an environment may have in addition: what happens next depends on random numbers that can be seeded anew."""

    def reseed(self, seed: int) -> None:
        """Sets the random state of everything that happens from now on; snapshots contain it."""
        ...

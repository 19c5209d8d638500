"""Any gymnasium environment whose observation is an image, with its preprocessing described as data.

A description is an id, which stands for four gray frames of 84x84, or a TOML file:

    id = "CarRacing-v3"          # what gymnasium.make is given
    frames = 4                   # k, frames in a state
    gray = true                  # what the agent sees of each, false for colour; the state model always sees colour
    size = [84, 84]              # height and width; leave it out to keep the environment's own
    crop = [0, 12, 0, 0]         # pixels cut off the picture before it is resized: top, bottom, left, right
    frame_skip = 1               # steps that an action is held
    actions = ["nothing", "left", "right", "gas", "brake"]   # or what the dimensions of continuous ones are called
    [make]                       # further arguments of gymnasium.make
    continuous = false

Such environments have no states to store.  A snapshot is the episode's seed and its actions, and to restore it is to play
them again, which is checked by what it then shows: an environment that is not repeatable is found out, and refused.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import asdict
from functools import partial
from typing import Any, TypeGuard

import cv2
import gymnasium
import numpy as np

from weakspot.envs.base import EnvironmentSpec, Step, check_running, continuous, discrete, last_shown
from weakspot.envs.description import Description
from weakspot.envs.observation import colour_observation, gray_observation
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError, SnapshotError
from weakspot.types import Bounds, Decision, Observation, State

OPENCV = (0.299, 0.587, 0.114)
"""What red, green and blue count for in OpenCV's gray."""

CUT = 0.499
"""What is lost on average where fractions are cut off, a hair less, so that whole numbers stay."""


class DescribedEnvironment:
    """A described environment, as :class:`weakspot.envs.base.Environment` wants it.

    Args:
        description: how it is made and shown.

    Raises:
        ConfigError: gymnasium does not have it, it shows no image, or its actions are neither discrete nor a row of bounded
            numbers.
    """

    def __init__(self, description: Description) -> None:
        self.description = description
        self._env = _made(description)
        self._names, self._bounds = _actions(self._env, description)
        shape = self._env.observation_space.shape
        assert shape is not None
        top, bottom, left, right = description.crop
        self._cut = (slice(top, shape[0] - bottom), slice(left, shape[1] - right))
        own = (shape[0] - top - bottom, shape[1] - left - right)
        if min(own) < 1:
            raise ConfigError(
                f"crop = {list(description.crop)} leaves {own[0]}x{own[1]} of {shape[0]}x{shape[1]}",
                expected="something to be left",
            )
        self._size = description.size or own
        self._seeds = np.random.default_rng(0)
        self._seed = 0
        self._actions: list[Decision] = []
        self._frames: deque[np.ndarray] = deque(maxlen=description.frames)
        self._step: Step | None = None

    @property
    def spec(self) -> EnvironmentSpec:
        """Its id, actions and picture."""
        told = self.description
        return EnvironmentSpec(
            id=told.id,
            action_names=self._names,
            frames=told.frames,
            height=self._size[0],
            width=self._size[1],
            channels=3,
            gray=bool(told.gray),
            preprocessing=asdict(told) | {"resize": "area"},
            action_bounds=self._bounds,
        )

    @property
    def observe(self) -> Callable[[State], Observation]:
        """The observation as a differentiable function of the state."""
        gray = self.description.gray
        if isinstance(gray, tuple):
            return partial(_cut_gray, colours=gray)
        return partial(gray_observation, colours=OPENCV) if gray else colour_observation

    def reset(self, seed: int | None = None) -> Step:
        """Starts an episode; with a seed, restarts the seeds of all episodes from it."""
        if seed is not None:
            self._seeds = np.random.default_rng(seed)
        return self._start(int(self._seeds.integers(2**31)))

    def step(self, action: Decision) -> Step:
        """Takes one of the ``spec.action_names`` by number, or values of them all where actions are continuous, and holds
        it for ``frame_skip`` steps.

        Raises:
            ConfigError: there is no such action, or no episode is running.
        """
        check_running(self._step)
        kept: Decision
        if self._bounds is None:
            kept = number = discrete(action, len(self._names))
            taken: Any = number + int(getattr(self._env.action_space, "start", 0))
        else:
            kept = continuous(action, self._names, self._bounds)
            taken = np.array(kept, self._env.action_space.dtype)
        self._actions.append(kept)
        total, terminated, truncated, picture = 0.0, False, False, None
        for _ in range(self.description.frame_skip):
            picture, reward, terminated, truncated, _ = self._env.step(copy(taken))  # it may be changed in there
            total += float(reward)
            if terminated or truncated:
                break
        return self._show(picture, total, bool(terminated), bool(truncated))

    def snapshot(self) -> bytes:
        """The episode's seed and its actions, under a checksum, with a digest of what it shows.

        Raises:
            ConfigError: before the first reset.
        """
        shown = last_shown(self._step)
        header = {
            "settings": self._settings(),
            "seed": self._seed,
            "actions": self._actions,
            "seeds": self._seeds.bit_generator.state,
            "shows": self._digest(shown),
        }
        return pack(header, {})

    def restore(self, snapshot: bytes) -> Step:
        """Plays a snapshot's actions again, and shows what it showed.

        Raises:
            SnapshotError: the snapshot is damaged, of another environment, or the environment does not repeat itself.
        """
        header, _ = unpack_for(self._settings(), snapshot)
        shown = self._start(header["seed"])
        for action in header["actions"]:
            if shown.terminated or shown.truncated:
                break
            shown = self.step(action)
        self._seeds.bit_generator.state = header["seeds"]
        if self._actions != header["actions"] or self._digest(shown) != header["shows"]:
            raise SnapshotError(
                f"{self.description.id} shows something else after the same {len(header['actions'])} actions from the same "
                "seed",
                expected="an environment that repeats itself",
                todo="look for random numbers in it that reset(seed=...) does not set",
            )
        return shown

    def close(self) -> None:
        """Lets go of what the environment holds."""
        self._env.close()

    def _start(self, seed: int) -> Step:
        self._seed, self._actions = seed, []
        black = np.zeros((*self._size, 3), np.uint8)
        self._frames.extend([black] * self.description.frames)
        picture, _ = self._env.reset(seed=seed)
        return self._show(picture, 0.0, False, False)

    def _show(self, picture: Any, reward: float, terminated: bool, truncated: bool) -> Step:
        cut = np.array(picture[self._cut])
        frame = cut if cut.shape[:2] == self._size else cv2.resize(cut, self._size[::-1], interpolation=cv2.INTER_AREA)
        self._frames.append(frame)
        self._step = Step(
            observation=self._observation(),
            frame=frame,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
        )
        return self._step

    def _observation(self) -> np.ndarray:
        gray = self.description.gray
        if isinstance(gray, tuple):
            return np.stack([np.sum(frame * np.array(gray), axis=-1).astype(np.uint8) for frame in self._frames])
        if gray:
            return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in self._frames])
        return np.concatenate([frame.transpose(2, 0, 1) for frame in self._frames])

    def _digest(self, shown: Step) -> list[Any]:
        digest = hashlib.sha256(b"".join(frame.tobytes() for frame in self._frames)).hexdigest()
        return [digest, shown.reward, shown.terminated, shown.truncated]

    def _settings(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self.description)))


def _cut_gray(state: State, colours: tuple[float, float, float]) -> Observation:
    """Gray as the environment shows it, whose fractions are cut off: what it shows is the whole number next to this, and no
    more or less than this on average."""
    return gray_observation(state, colours) - CUT


def _made(description: Description) -> gymnasium.Env[Any, Any]:
    try:
        made = gymnasium.make(description.id, disable_env_checker=True, **description.make)
    except (gymnasium.error.Error, TypeError, ImportError) as error:
        raise ConfigError(
            f"gymnasium cannot make {description.id!r}: {error}",
            expected="the id of an environment that is installed here",
            todo="install the package it comes with; an id of a module that registers it is written module:id",
        ) from error
    space = made.observation_space
    shape = space.shape or ()
    if space.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise ConfigError(
            f"{description.id} shows {space}",
            expected="a colour picture: bytes of shape (height, width, 3)",
            todo="wrap it so that it shows the picture (gymnasium.wrappers.AddRenderObservation), and register that",
        )
    return made


def _actions(env: gymnasium.Env[Any, Any], description: Description) -> tuple[tuple[str, ...], Bounds | None]:
    """What the actions are called, and the bounds of continuous ones."""
    space = env.action_space
    bounds = None
    if isinstance(space, gymnasium.spaces.Discrete):
        count = int(space.n)
    elif _is_row(space):
        count = space.shape[0]
        pairs = zip(space.low, space.high, strict=True)
        bounds = tuple((_within(low, up=True), _within(high, up=False)) for low, high in pairs)
    else:
        raise ConfigError(
            f"the actions of {description.id} are {space}",
            expected="discrete actions, or a row of floating point numbers with bounds",
            todo="wrap it so that its actions are one of these, and register that",
        )
    names = description.actions or tuple(str(number) for number in range(count))
    if len(names) != count:
        kind = "actions" if bounds is None else "dimensions of the actions"
        raise ConfigError(f"{len(names)} names for the {count} {kind} of {description.id}", expected="one name for each")
    capitals = {name.upper() for name in names}
    if bounds is not None and ("V" in capitals or len(capitals) < len(names)):
        raise ConfigError(
            f"the dimensions of the actions of {description.id} are called {', '.join(names)}",
            expected="names that differ by more than capitals, none of them V, which is the critic's",
            todo="give them other names: actions = [...] in the TOML file",
        )
    return names, bounds


def _is_row(space: gymnasium.Space[Any]) -> TypeGuard[gymnasium.spaces.Box]:
    """Whether actions are a row of floating point numbers, each with bounds."""
    row = isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1 and space.is_bounded()
    return row and np.issubdtype(space.dtype, np.floating)


def _within(bound: np.floating, *, up: bool) -> float:
    """The bound in single precision, in which agents answer, and not beyond itself."""
    single = np.float32(bound)
    if float(single) < float(bound) if up else float(single) > float(bound):
        single = np.nextafter(single, np.float32(np.inf if up else -np.inf))
    return float(single)

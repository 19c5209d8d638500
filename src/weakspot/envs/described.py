"""Gymnasium environments with image observations, preprocessed as a :class:`Description` says.

An id alone means four gray frames of 84x84.  A TOML file can say more (see :class:`weakspot.envs.description.Description`):

    id = "CarRacing-v3"          # the id that gymnasium.make gets
    frames = 4                   # k, number of frames in a state
    gray = true                  # the agent sees gray frames, false for colour; the state model always sees colour
    size = [84, 84]              # height and width; leave it out to keep the environment's own
    crop = [0, 12, 0, 0]         # pixels cut off before the resize: top, bottom, left, right
    resize = "area"              # the interpolation
    frame_skip = 1               # environment steps that an action is repeated for
    actions = ["nothing", "left", "right", "gas", "brake"]   # or names of the dimensions of continuous actions
    [make]                       # further arguments of gymnasium.make
    continuous = false

Such environments cannot store their state.  A snapshot holds the episode's seed, its actions and the changes of variables
in between, and restoring it replays them.  The frames after the replay are compared with a digest in the snapshot, so an
environment that is not deterministic raises an error.

Their variables can be edited if one of :mod:`weakspot.envs.editors` knows the environment.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any, TypeGuard, cast

import gymnasium
import numpy as np

from weakspot.actions import Action, Bounds
from weakspot.envs.base import EnvironmentSpec, Step, check_running, continuous, discrete, last_step
from weakspot.envs.description import Description
from weakspot.envs.editable import Variable, check_changes
from weakspot.envs.editors import Editor, editor_of
from weakspot.envs.entries import entries_of
from weakspot.envs.observation import observation_function
from weakspot.envs.pictures import picture_of
from weakspot.envs.reduce import reduce_image
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError, EditError, RewardError, SnapshotError
from weakspot.system.user_code import importable
from weakspot.types import Observation, State

MOST_COMBINATIONS = 256
"""Actions that are combined from parts, at most: each needs a column of scores, and is tried as a rescue."""


class DescribedEnvironment:
    """A gymnasium environment as a :class:`weakspot.envs.base.Environment`.

    Args:
        description: how it is made and preprocessed.

    Raises:
        ConfigError: gymnasium does not have it, its observations are not colour images, or its actions are neither discrete
            nor vectors of bounded numbers.
    """

    def __init__(self, description: Description) -> None:
        self.description = description
        self._env = _make(description)
        self._editor = editor_of(self._env.unwrapped)
        self._names, self._bounds, self._parts = _actions(self._env, description)
        self._picture = picture_of(self._env.observation_space, description.id)
        discrete_actions = 0 if self._bounds is not None else len(self._names)
        self._entries = entries_of(self._env, description.id, self._picture.key, discrete_actions, self._parts)
        self._reduction = description.reduction
        self._size = self._reduction.output_size(*self._picture.size)
        self._seeds = np.random.default_rng(0)
        self._seed = 0
        self._actions: list[Action | dict[str, float]] = []
        """Actions since the start of the episode, and changes of variables, with positions as text for JSON."""
        self._frames: deque[np.ndarray] = deque(maxlen=description.frames)
        self._grays: deque[np.ndarray] = deque(maxlen=description.frames)
        self._step: Step | None = None

    @property
    def spec(self) -> EnvironmentSpec:
        """The environment's id, actions and image size."""
        description = self.description
        return EnvironmentSpec(
            id=description.id,
            action_names=self._names,
            frames=description.frames,
            height=self._size[0],
            width=self._size[1],
            channels=3,
            gray=bool(description.gray),
            preprocessing=asdict(description),
            action_bounds=self._bounds,
            action_parts=self._parts,
            entries=self._entries.layout,
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images of the gymnasium environment."""
        return self._picture.size

    @property
    def observe(self) -> Callable[[State], Observation]:
        """The observation as a differentiable function of the state."""
        return observation_function(self._reduction)

    def reset(self, seed: int | None = None) -> Step:
        """Starts an episode.  A seed sets the random state from which this and all later episodes get their seeds."""
        if seed is not None:
            self._seeds = np.random.default_rng(seed)
        return self._start(int(self._seeds.integers(2**31)))

    def step(self, action: Action) -> Step:
        """Takes an action and repeats it for ``frame_skip`` steps.

        Args:
            action: the index of one of ``spec.action_names``, or one value for each of them if actions are continuous.

        Raises:
            ConfigError: there is no such action, or no episode is running.
        """
        check_running(self._step)
        checked: Action
        if self._bounds is None:
            checked = number = discrete(action, len(self._names))
            native = self._native(number)
        else:
            checked = continuous(action, self._names, self._bounds)
            native: Any = np.array(checked, self._env.action_space.dtype)
        self._actions.append(checked)
        total, terminated, truncated = 0.0, False, False
        images: deque[np.ndarray] = deque(maxlen=self.description.maximum or 1)
        seen: Any = None
        for _ in range(self.description.frame_skip or 1):
            seen, reward, terminated, truncated, _ = self._env.step(copy(native))  # the environment may change the array
            images.append(self._picture(seen))
            total += self._number(reward)
            if terminated or truncated:
                break
        entries = self._entries(seen, over=bool(terminated or truncated))
        return self._record(reduce(np.maximum, images), entries, total, bool(terminated), bool(truncated))

    def _native(self, number: int) -> Any:
        """The environment's own form of a discrete action."""
        space = cast(Any, self._env.action_space)
        if self._parts is None:
            return number + int(getattr(space, "start", 0))
        return (np.array(np.unravel_index(number, self._parts)) + getattr(space, "start", 0)).astype(space.dtype)

    def _number(self, reward: object) -> float:
        """A reward as a number; raises :class:`RewardError` for anything else."""
        try:
            number = float(cast(Any, reward))
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise RewardError(
                f"{self.description.id} returned the reward {str(reward)[:50]} in step {len(self._actions)} of an episode",
                expected="a finite number",
                todo="correct the environment's rewards",
            )
        return number

    def snapshot(self) -> bytes:
        """The episode's seed and actions, and a digest of the current frames, under a checksum.

        Raises:
            ConfigError: there has been no reset yet.
        """
        last = last_step(self._step)
        header = {
            "settings": self._settings(),
            "seed": self._seed,
            "actions": self._actions,
            "seeds": self._seeds.bit_generator.state,
            "shows": self._digest(last),
        }
        return pack(header, {})

    def restore(self, snapshot: bytes) -> Step:
        """Replays a snapshot's actions, and returns the last step.

        Raises:
            SnapshotError: the snapshot is damaged or from another environment, or the environment is not deterministic.
            EditError: the snapshot contains changes that are not possible here.
        """
        header, _ = unpack_for(self._settings(), snapshot)
        last = self._start(header["seed"])
        for action in header["actions"]:
            if last.terminated or last.truncated:
                break
            if isinstance(action, dict):
                self.write_variables({int(position): value for position, value in cast("Any", action).items()})
            else:
                last = self.step(action)
        self._seeds.bit_generator.state = header["seeds"]
        if self._actions != header["actions"] or self._digest(last) != header["shows"]:
            raise SnapshotError(
                f"{self.description.id} shows other frames after the same seed and {len(header['actions'])} actions",
                expected="a deterministic environment",
                todo="look for random numbers in it that reset(seed=...) does not set",
            )
        return last

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Those of the environment's editor; empty without one."""
        return self._editor.variables(self._env.unwrapped) if self._editor else ()

    def read_variables(self) -> np.ndarray:
        """Their values (v,); raises :class:`ConfigError` before the first reset."""
        last_step(self._step, "read_variables")
        return self._require_editor().read(self._env.unwrapped)

    def write_variables(self, changes: Mapping[int, float]) -> None:
        """Changes variables of the current state.

        Raises:
            EditError: no editor knows the environment, there is no such variable, or a value is out of bounds.
            ConfigError: no episode is running.
        """
        check_running(self._step, "write_variables")
        editor = self._require_editor()
        checked = check_changes(self.variables, changes)
        editor.write(self._env.unwrapped, checked)
        self._actions.append({str(position): value for position, value in checked.items()})

    def close(self) -> None:
        """Closes the gymnasium environment."""
        self._env.close()

    def _require_editor(self) -> Editor:
        if self._editor is None:
            raise EditError(
                f"the state of {self.description.id} cannot be taken apart",
                expected="an environment that an editor of the entry point group weakspot.editors knows",
                todo="write an editor for it, or do without edited states",
            )
        return self._editor

    def _start(self, seed: int) -> Step:
        self._seed, self._actions = seed, []
        black = np.zeros((*self._size, 3), np.uint8)
        self._frames.extend([black] * self.description.frames)
        self._grays.extend([black[..., 0]] * self.description.frames)
        seen, _ = self._env.reset(seed=seed)
        return self._record(self._picture(seen), self._entries(seen), 0.0, False, False)

    def _record(self, image: np.ndarray, entries: np.ndarray, reward: float, terminated: bool, truncated: bool) -> Step:
        """Adds an image to the frame stack, and stores and returns the step."""
        frame, gray = reduce_image(image, self._reduction)
        self._frames.append(frame)
        if gray is not None:
            self._grays.append(gray)
        self._step = Step(
            observation=self._observation(),
            frame=frame,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            entries=entries,
        )
        return self._step

    def _observation(self) -> np.ndarray:
        if self._reduction.weights is not None:
            return np.stack(self._grays)
        return np.concatenate([frame.transpose(2, 0, 1) for frame in self._frames])

    def _digest(self, last: Step) -> list[Any]:
        shown = [*(frame.tobytes() for frame in self._frames), last.entries.tobytes()]
        digest = hashlib.sha256(b"".join(shown)).hexdigest()
        return [digest, last.reward, last.terminated, last.truncated]

    def _settings(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self.description)))


def _make(description: Description) -> gymnasium.Env[Any, Any]:
    try:
        with importable(Path.cwd()):
            env = gymnasium.make(description.id, disable_env_checker=True, **description.make)
    except (gymnasium.error.Error, TypeError, ImportError) as error:
        raise ConfigError(
            f"gymnasium cannot make {description.id!r}: {error}",
            expected="the id of an installed environment",
            todo="install the package that registers it; if a module has to be imported first, write module:id",
        ) from error
    return env


def _actions(
    env: gymnasium.Env[Any, Any], description: Description
) -> tuple[tuple[str, ...], Bounds | None, tuple[int, ...] | None]:
    """Names of the actions, the bounds of continuous actions, and the numbers of choices of actions that are combined."""
    space = env.action_space
    bounds, parts = None, _parts(space)
    if parts is not None:
        count = math.prod(parts)
        if count > MOST_COMBINATIONS:
            raise ConfigError(
                f"the actions of {description.id} are {space}: {count} combinations",
                expected=f"at most {MOST_COMBINATIONS}",
                todo="wrap it so that its actions are those combinations that make sense, and register the result",
            )
    elif isinstance(space, gymnasium.spaces.Discrete):
        count = int(space.n)
    elif _is_bounded_vector(space):
        count = space.shape[0]
        pairs = zip(space.low, space.high, strict=True)
        bounds = tuple((_round_inwards(low, up=True), _round_inwards(high, up=False)) for low, high in pairs)
    else:
        raise ConfigError(
            f"the actions of {description.id} are {space}",
            expected="discrete actions, combinations of them (MultiDiscrete, MultiBinary), or vectors of floating point "
            "numbers with bounds",
            todo="wrap it so that its actions are one of these, and register the result",
        )
    names = description.actions or _numbered(count, parts)
    if len(names) != count:
        kind = "actions" if bounds is None else "dimensions of the actions"
        raise ConfigError(f"{len(names)} names for the {count} {kind} of {description.id}", expected="one name for each")
    capitals = {name.upper() for name in names}
    if bounds is not None and ("V" in capitals or len(capitals) < len(names)):
        raise ConfigError(
            f"the dimensions of the actions of {description.id} are called {', '.join(names)}",
            expected="names that differ by more than capitals, and none of them V, which is the name of the critic's value",
            todo="set other names: actions = [...] in the TOML file",
        )
    return names, bounds, parts


def _parts(space: gymnasium.Space[Any]) -> tuple[int, ...] | None:
    """The number of choices of each part of an action; None for actions without parts."""
    shape: tuple[int, ...] = space.shape or ()
    if len(shape) != 1:
        return None
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return (2,) * shape[0]
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return tuple(int(choices) for choices in cast(Any, space).nvec)
    return None


def _numbered(count: int, parts: tuple[int, ...] | None) -> tuple[str, ...]:
    """Names of actions that have none: their numbers, or those of the choices of all parts, such as ``2-0``."""
    if parts is None:
        return tuple(str(number) for number in range(count))
    return tuple("-".join(map(str, choices)) for choices in np.ndindex(parts))


def _is_bounded_vector(space: gymnasium.Space[Any]) -> TypeGuard[gymnasium.spaces.Box]:
    """Whether actions are vectors of floating point numbers, each with bounds."""
    dtype: np.dtype[Any] | None = space.dtype
    is_bounded_row = isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1 and space.is_bounded()
    return is_bounded_row and np.issubdtype(dtype, np.floating)


def _round_inwards(bound: np.floating[Any], *, up: bool) -> float:
    """The bound rounded to single precision, the agents' number format, towards the inside of the interval."""
    single = np.float32(bound)
    if float(single) < float(bound) if up else float(single) > float(bound):
        single = np.nextafter(single, np.float32(np.inf if up else -np.inf))
    return float(single)

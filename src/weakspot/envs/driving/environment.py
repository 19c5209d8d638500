"""The driving environments as :class:`weakspot.envs.base.Environment`.

A frame's channels are those of its sensors, not colours: one channel per semantic class, and depth and gray if the
environment has them.  A state model's output in the class channels can be read as class probabilities.  The observation is
the state itself, as uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from weakspot.actions import Action
from weakspot.envs.base import EnvironmentSpec, Step, check_running, last_step
from weakspot.envs.driving import variables
from weakspot.envs.driving.classes import CLASS_NAMES, PALETTE
from weakspot.envs.driving.env import ACTIONS, DIMENSIONS, DriveEnv
from weakspot.envs.driving.registration import ENVIRONMENTS
from weakspot.envs.driving.world import STATE_VERSION
from weakspot.envs.editable import Variable
from weakspot.envs.observation import colour_observation
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError
from weakspot.types import Observation, State


class DriveEnvironment:
    """One of the driving environments.

    Args:
        name: its id, such as ``weakspot/DriveSemantic-v0``.
        settings: arguments of :class:`weakspot.envs.driving.env.DriveEnv` that replace the environment's own, such as
            ``pedestrians="distracted"``.

    Raises:
        ConfigError: there is no such environment, or a setting is invalid.
    """

    def __init__(self, name: str, **settings: Any) -> None:
        self.name, self._settings = name, settings
        if name not in ENVIRONMENTS:
            raise ConfigError(f"there is no driving environment {name!r}", expected=", ".join(ENVIRONMENTS))
        try:
            self.env = DriveEnv(**{**ENVIRONMENTS[name], **settings})
        except TypeError as error:
            raise ConfigError(f"{name} with {settings}: {error}", expected="settings of DriveEnv") from error
        self._step: Step | None = None

    @property
    def spec(self) -> EnvironmentSpec:
        """The environment's id, actions and frames."""
        env, shape = self.env, self.env.shape
        colours = dict(zip(CLASS_NAMES, PALETTE.tolist(), strict=True))
        return EnvironmentSpec(
            id=self.name,
            action_names=DIMENSIONS if env.continuous else tuple(ACTIONS),
            frames=env.frames,
            height=shape[1],
            width=shape[2],
            channels=len(env.channels),
            preprocessing={"channels": list(env.channels), "town_version": STATE_VERSION, **self._settings},
            gray=False,
            action_bounds=((-1.0, 1.0), (-1.0, 1.0)) if env.continuous else None,
            channel_colours=tuple(tuple(colours.get(name, (0, 0, 0))) for name in env.channels),
        )

    @property
    def observe(self) -> Callable[[State], Observation]:
        """The observation as a differentiable function of the state."""
        return colour_observation

    def reset(self, seed: int | None = None) -> Step:
        """Starts an episode.  A seed sets the random state from which this and all later episodes get their seeds."""
        observation, _ = self.env.reset(seed=seed)
        return self._record(observation, 0.0, False, False)

    def step(self, action: Action) -> Step:
        """Takes an action.

        Args:
            action: the index of one of ``spec.action_names``, or one value for each of them if actions are continuous.

        Raises:
            ConfigError: there is no such action, or no episode is running.
        """
        check_running(self._step)
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._record(observation, reward, terminated, truncated, info["cause"] or "")

    def snapshot(self) -> bytes:
        """The whole world and the current frame stack, under a checksum.

        Raises:
            ConfigError: there has been no reset yet.
        """
        last = last_step(self._step)
        result = {"reward": last.reward, "terminated": last.terminated, "truncated": last.truncated}
        return pack({"settings": self.name, **result}, {"env": self.env.get_state()})

    def restore(self, snapshot: bytes) -> Step:
        """Restores a snapshot, and returns the step that was current when it was taken.

        Raises:
            SnapshotError: the snapshot is damaged, or of another environment.
        """
        header, parts = unpack_for(self.name, snapshot)
        return self._record(self.env.set_state(parts["env"]), header["reward"], header["terminated"], header["truncated"])

    def reseed(self, seed: int) -> None:
        """Sets the random state of cars and pedestrians."""
        self.env.world.reseed(seed)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Those of :mod:`weakspot.envs.driving.variables`."""
        return variables.world_variables(self.env.world)

    def read_variables(self) -> np.ndarray:
        """Their values (v,); raises :class:`ConfigError` before the first reset."""
        last_step(self._step, "read_variables")
        return variables.read(self.env.world)

    def write_variables(self, changes: Mapping[int, float]) -> None:
        """Changes them; raises :class:`EditError` if the town's rules do not allow it, and :class:`ConfigError` unless an
        episode is running."""
        check_running(self._step, "write_variables")
        variables.write(self.env.world, changes)

    def close(self) -> None:
        """Closes the gymnasium environment."""
        self.env.close()

    def _record(self, observation: np.ndarray, reward: float, terminated: bool, truncated: bool, cause: str = "") -> Step:
        """Stores and returns the step."""
        newest = observation[-len(self.env.channels) :]
        self._step = Step(
            observation=observation,
            frame=np.ascontiguousarray(newest.transpose(1, 2, 0)),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            cause=cause,
        )
        return self._step

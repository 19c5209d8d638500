"""The driving environments as :class:`weakspot.envs.base.Environment` wants them.

A frame's channels are what its sensors see: class probabilities between 0 and 1, not colours, so that what a state model
makes of them can be read as such, and depth and gray beside them where the environment has them.  The observation is the
state itself, in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from weakspot.envs.base import EnvironmentSpec, Step, check_running, last_shown
from weakspot.envs.driving.classes import CLASS_NAMES, PALETTE
from weakspot.envs.driving.env import ACTIONS, DIMENSIONS, DriveEnv
from weakspot.envs.driving.registration import ENVIRONMENTS
from weakspot.envs.driving.world import STATE_VERSION
from weakspot.envs.observation import colour_observation
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError
from weakspot.types import Decision, Observation, State


class DriveEnvironment:
    """One of the driving environments.

    Args:
        name: its id, such as ``weakspot/DriveSemantic-v0``.
        settings: of :class:`weakspot.envs.driving.env.DriveEnv` that are not the environment's own, such as
            ``pedestrians="distracted"``.

    Raises:
        ConfigError: a setting cannot be.
    """

    def __init__(self, name: str, **settings: Any) -> None:
        self.name, self._told = name, settings
        if name not in ENVIRONMENTS:
            raise ConfigError(f"there is no driving environment {name!r}", expected=", ".join(ENVIRONMENTS))
        try:
            self.env = DriveEnv(**{**ENVIRONMENTS[name], **settings})
        except TypeError as error:
            raise ConfigError(f"{name} with {settings}: {error}", expected="settings of DriveEnv") from error
        self._step: Step | None = None

    @property
    def spec(self) -> EnvironmentSpec:
        """Its id, actions and frames."""
        env, shape = self.env, self.env.observation_space.shape
        colours = dict(zip(CLASS_NAMES, PALETTE.tolist(), strict=True))
        return EnvironmentSpec(
            id=self.name,
            action_names=DIMENSIONS if env.continuous else tuple(ACTIONS),
            frames=env.frames,
            height=shape[1],
            width=shape[2],
            channels=len(env.channels),
            preprocessing={"channels": list(env.channels), "town_version": STATE_VERSION, **self._told},
            gray=False,
            action_bounds=((-1.0, 1.0), (-1.0, 1.0)) if env.continuous else None,
            channel_colours=tuple(tuple(colours.get(name, (0, 0, 0))) for name in env.channels),
        )

    @property
    def observe(self) -> Callable[[State], Observation]:
        """The observation as a differentiable function of the state."""
        return colour_observation

    def reset(self, seed: int | None = None) -> Step:
        """Starts an episode; with a seed, restarts the seeds of all episodes from it."""
        observation, _ = self.env.reset(seed=seed)
        return self._show(observation, 0.0, False, False)

    def step(self, action: Decision) -> Step:
        """Takes one of the ``spec.action_names`` by number, or values of them both where actions are continuous.

        Raises:
            ConfigError: there is no such action, or no episode is running.
        """
        check_running(self._step)
        observation, reward, terminated, truncated, _ = self.env.step(action)
        return self._show(observation, reward, terminated, truncated)

    def snapshot(self) -> bytes:
        """The whole world and the frames that were seen, under a checksum.

        Raises:
            ConfigError: before the first reset.
        """
        shown = last_shown(self._step)
        told = {"reward": shown.reward, "terminated": shown.terminated, "truncated": shown.truncated}
        return pack({"settings": self.name, **told}, {"env": self.env.get_state()})

    def restore(self, snapshot: bytes) -> Step:
        """Goes back to a snapshot and shows what it showed.

        Raises:
            SnapshotError: the snapshot is damaged, or of another environment.
        """
        header, parts = unpack_for(self.name, snapshot)
        return self._show(self.env.set_state(parts["env"]), header["reward"], header["terminated"], header["truncated"])

    def close(self) -> None:
        """Lets go of what the environment holds."""
        self.env.close()

    def _show(self, observation: np.ndarray, reward: float, terminated: bool, truncated: bool) -> Step:
        newest = observation[-len(self.env.channels) :]
        self._step = Step(
            observation=observation,
            frame=np.ascontiguousarray(newest.transpose(1, 2, 0)),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
        )
        return self._step

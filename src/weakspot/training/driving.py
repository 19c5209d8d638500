"""The driving environments as stable-baselines3 trains on them, and as agents are measured in them."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from weakspot.envs.driving.env import ACTIONS
from weakspot.training.arena import Arena


def driving_arena(environment: str) -> Arena:
    """The arena of one of the driving environments, with the pedestrians it has by itself: reasonable ones."""
    shown = gymnasium.make(environment)
    shape = shown.observation_space.shape
    assert shape is not None
    channels, height, width = shape
    unwrapped: Any = shown.unwrapped
    return Arena(
        name=environment.removeprefix("weakspot/").removesuffix("-v0").lower(),
        environment=environment,
        actions=tuple(ACTIONS),
        observation_shape=(channels, height, width),
        preprocessing={
            "channels": list(unwrapped.channels),
            "stack": unwrapped.frames,
            "stack_order": "oldest first, zeros at reset",
            "range": "0 to 255, divided by 255 in the network",
        },
        packages=("embreex",),
        trained_on=partial(_trained_on, environment),
        measured_in=partial(_measured_in, environment),
    )


def _trained_on(environment: str, count: int, seed: int) -> VecEnv:
    made = DummyVecEnv([lambda: Monitor(gymnasium.make(environment))] * count)
    made.seed(seed)
    return made


def _measured_in(environment: str, count: int) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: gymnasium.make(environment)] * count)

"""The driving environments, as vector environments for training with stable-baselines3 and for evaluation."""

from __future__ import annotations

from functools import partial

import gymnasium
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from weakspot.envs.driving.environment import DriveEnvironment
from weakspot.training.arena import Arena


def driving_arena(environment: str) -> Arena:
    """The arena of a driving environment, with its default pedestrians, which are reasonable."""
    spec = DriveEnvironment(environment).spec
    return Arena(
        name=environment.removeprefix("weakspot/").removesuffix("-v0").lower(),
        environment=environment,
        actions=spec.action_names,
        observation_shape=spec.observation_shape,
        preprocessing={
            **spec.preprocessing,
            "stack": spec.frames,
            "stack_order": "oldest first, zeros at reset",
            "range": "0 to 255, divided by 255 in the network",
        },
        packages=("embreex",),
        make_training_env=partial(_make_training_env, environment),
        make_evaluation_env=partial(_make_evaluation_env, environment),
    )


def _make_training_env(environment: str, count: int, seed: int) -> VecEnv:
    envs = DummyVecEnv([lambda: Monitor(gymnasium.make(environment))] * count)
    envs.seed(seed)
    return envs


def _make_evaluation_env(environment: str, count: int) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: gymnasium.make(environment)] * count)

"""The driving environments, as vector environments for training with stable-baselines3 and for evaluation."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from weakspot.envs.driving.environment import DriveEnvironment
from weakspot.envs.driving.registration import PEDESTRIANS, register
from weakspot.training.arena import Arena


def driving_arena(environment: str, pedestrians: str | None = None) -> Arena:
    """The arena of a driving environment.

    Args:
        environment: its id.
        pedestrians: ``reasonable``, ``distracted``, ``none``, or a share of distracted crossings as text; None for the
            environment's default, which are reasonable ones.
    """
    register()
    settings = {} if pedestrians is None else {"pedestrians": _behaviour(pedestrians)}
    short = environment.removeprefix("weakspot/").removesuffix("-v0").lower()
    spec = DriveEnvironment(environment).spec
    return Arena(
        name=short if pedestrians is None else f"{short}-{pedestrians}",
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
        make_training_env=partial(_make_training_env, environment, settings),
        make_evaluation_env=partial(_make_evaluation_env, environment, settings),
    )


def _behaviour(pedestrians: str) -> str | float:
    return pedestrians if pedestrians in PEDESTRIANS else float(pedestrians)


def _make_training_env(environment: str, settings: dict[str, Any], count: int, seed: int) -> VecEnv:
    envs = DummyVecEnv([lambda: Monitor(gymnasium.make(environment, **settings))] * count)
    envs.seed(seed)
    return envs


def _make_evaluation_env(environment: str, settings: dict[str, Any], count: int) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: gymnasium.make(environment, **settings)] * count)

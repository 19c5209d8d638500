"""The environment of a training and of its measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnv


@dataclass(frozen=True)
class Arena:
    """An environment to train and measure agents in.

    Attributes:
        name: short name for files and agents, such as ``pong``.
        environment: its id.
        actions: names of the actions.
        observation_shape: (c, h, w).
        preprocessing: how observations are computed, for the agent's card.
        packages: packages whose versions affect observations, for the card.
        make_training_env: maps a number of copies and the first seed to the vector environment that stable-baselines3 trains
            on; rewards may be clipped, and each life may be an episode.
        make_evaluation_env: maps a number of copies to the vector environment that scores are measured in: unclipped
            rewards, complete episodes.
    """

    name: str
    environment: str
    actions: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    preprocessing: dict[str, Any]
    packages: tuple[str, ...]
    make_training_env: Callable[[int, int], VecEnv]
    make_evaluation_env: Callable[[int], VectorEnv]

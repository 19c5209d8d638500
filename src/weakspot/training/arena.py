"""Where agents are trained and measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnv


@dataclass(frozen=True)
class Arena:
    """An environment as trainings see it.

    Attributes:
        name: for files and agents, such as ``pong``.
        environment: its id.
        actions: their names.
        observation_shape: (c, h, w).
        preprocessing: how observations come about, for the agent's card.
        packages: whose versions decide what is shown, for the card.
        trained_on: makes so many copies, from a first seed, as stable-baselines3 trains on them; rewards may be clipped, and
            lives count as episodes.
        measured_in: makes so many copies as scores are measured in, side by side: true rewards, whole episodes.
    """

    name: str
    environment: str
    actions: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    preprocessing: dict[str, Any]
    packages: tuple[str, ...]
    trained_on: Callable[[int, int], VecEnv]
    measured_in: Callable[[int], VectorEnv]

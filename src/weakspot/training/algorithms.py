"""The algorithms that agents are trained by, and what a training needs to know of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from weakspot.training import actor_critic, double_dqn
from weakspot.training.config import A2CConfig, ACKTRConfig, DoubleDQNConfig, TrainingConfig


@dataclass(frozen=True)
class Algorithm:
    """One of them.

    Attributes:
        title: for people.
        config: its settings.
        kind: of the agents it trains, among those of :data:`weakspot.agents.formats.card.KINDS`.
        build: makes it out of its settings.
        start_from: puts the weights of an agent file into it, from a source that errors name.
        kept: the network of it that is evaluated and kept.
        answers: Q-values or log-probabilities (b, a) of that network for observations of bytes.
        exported: the weights of an agent file out of that network's.
        counters: its attributes that count, and are stored with the weights.
        epsilon: share of random actions when it is evaluated, and in the final measurement.
    """

    title: str
    config: type[TrainingConfig]
    kind: str
    build: Callable[[Any], BaseAlgorithm]
    start_from: Callable[[Any, Mapping[str, Tensor], str], None]
    kept: Callable[[Any], nn.Module]
    answers: Callable[[Any, Tensor], Tensor]
    exported: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    counters: tuple[str, ...]
    epsilon: tuple[float, float]


def _actor_critic(title: str, config: type[TrainingConfig], build: Callable[[Any], BaseAlgorithm]) -> Algorithm:
    return Algorithm(
        title=title,
        config=config,
        kind="actor-critic",
        build=build,
        start_from=actor_critic.start_from,
        kept=lambda model: model.policy,
        answers=actor_critic.logits,
        exported=actor_critic.policy_weights,
        counters=("num_timesteps", "_n_updates"),
        epsilon=(0.0, 0.0),  # its actions are drawn as it is
    )


ALGORITHMS: dict[str, Algorithm] = {
    "double-dqn": Algorithm(
        title="dueling double DQN",
        config=DoubleDQNConfig,
        kind="dueling-dqn",
        build=double_dqn.build_double_dqn,
        start_from=double_dqn.start_from,
        kept=lambda model: model.average,
        answers=lambda network, observations: network(observations),
        exported=double_dqn.dueling_weights,
        counters=("num_timesteps", "_n_updates", "_n_calls"),
        epsilon=(0.01, 0.01),  # enough that games from the same start do not go the same way
    ),
    "a2c": _actor_critic("A2C", A2CConfig, actor_critic.build_a2c),
    "acktr": _actor_critic("ACKTR", ACKTRConfig, actor_critic.build_acktr),
}


def algorithm_of(config: TrainingConfig) -> str:
    """The name of the algorithm that settings are for."""
    return next(name for name, algorithm in ALGORITHMS.items() if algorithm.config is type(config))

"""The algorithms that train agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from weakspot.training import actor_critic, double_dqn
from weakspot.training.config import A2CConfig, ACKTRConfig, DoubleDQNConfig, TrainingConfig

UPDATES = "_n_updates"
"""The attribute in which stable-baselines3 counts gradient updates; it has no public one."""


@dataclass(frozen=True)
class Algorithm:
    """A training algorithm.

    Attributes:
        title: its name in reports and on cards.
        config: the class of its settings.
        kind: kind of the agents it trains, one of :data:`weakspot.agents.formats.card.KINDS`.
        build: builds the untrained model from the settings.
        start_from: copies the weights of an agent file into the model; its last argument names the file in errors.
        exported_network: the network of the model that is evaluated and exported.
        action_scores: Q-values or log-probabilities (b, a) of that network for uint8 observations.
        export_weights: maps the state dict of that network to the weights of an agent file.
        counters: names of the model's counters; they are stored in checkpoints.
        epsilon: share of random actions in evaluations during the training, and in the final measurement.
    """

    title: str
    config: type[TrainingConfig]
    kind: str
    build: Callable[[Any], BaseAlgorithm]
    start_from: Callable[[Any, Mapping[str, Tensor], str], None]
    exported_network: Callable[[Any], nn.Module]
    action_scores: Callable[[Any, Tensor], Tensor]
    export_weights: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    counters: tuple[str, ...]
    epsilon: tuple[float, float]


def _actor_critic(title: str, config: type[TrainingConfig], build: Callable[[Any], BaseAlgorithm]) -> Algorithm:
    return Algorithm(
        title=title,
        config=config,
        kind="actor-critic",
        build=build,
        start_from=actor_critic.start_from,
        exported_network=lambda model: model.policy,
        action_scores=actor_critic.logits,
        export_weights=actor_critic.policy_weights,
        counters=("num_timesteps", UPDATES),
        epsilon=(0.0, 0.0),  # its actions are sampled anyway
    )


ALGORITHMS: dict[str, Algorithm] = {
    "double-dqn": Algorithm(
        title="dueling double DQN",
        config=DoubleDQNConfig,
        kind="dueling-dqn",
        build=double_dqn.build_double_dqn,
        start_from=double_dqn.start_from,
        exported_network=lambda model: model.average,
        action_scores=lambda network, observations: network(observations),
        export_weights=double_dqn.dueling_weights,
        counters=("num_timesteps", UPDATES, "_n_calls"),
        epsilon=(0.01, 0.01),  # enough to make games from the same start differ
    ),
    "a2c": _actor_critic("A2C", A2CConfig, actor_critic.build_a2c),
    "acktr": _actor_critic("ACKTR", ACKTRConfig, actor_critic.build_acktr),
}


def algorithm_of(config: TrainingConfig) -> str:
    """The name of the algorithm that these settings belong to."""
    return next(name for name, algorithm in ALGORITHMS.items() if algorithm.config is type(config))

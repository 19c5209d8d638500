"""A2C and ACKTR on stable-baselines3, with the network of :class:`weakspot.agents.networks.policy.PolicyNetwork`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3 import A2C
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from weakspot.agents.networks.convolutions import HIDDEN, NetworkSize, convolution_layers
from weakspot.agents.tensors.weights import load_into
from weakspot.training.acktr import ACKTR
from weakspot.training.arenas import arena_of
from weakspot.training.config import A2CConfig, ACKTRConfig, ActorCriticConfig

NAMES = {"features_extractor.": "", "action_net.": "actor.", "value_net.": "critic."}
"""Prefixes of weight names in stable-baselines3 policies, and in agent files."""


class PolicyFeatures(BaseFeaturesExtractor):
    """Convolutions and a hidden layer: observations (b, c, h, w) in 0 to 1 to features (b, hidden)."""

    def __init__(self, observation_space: spaces.Box, network: NetworkSize = "nature") -> None:
        convolutions, features = convolution_layers(observation_space.shape, network)
        super().__init__(observation_space, HIDDEN[network])  # pyright: ignore[reportUnknownMemberType]  # untyped Space
        self.convolutions = convolutions
        self.hidden = nn.Sequential(nn.Linear(features, HIDDEN[network]), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        return self.hidden(self.convolutions(observations))


def build_a2c(config: A2CConfig) -> A2C:
    """An untrained A2C with these settings on new environments."""
    return A2C(**_settings(config), max_grad_norm=config.max_grad_norm)


def build_acktr(config: ACKTRConfig) -> ACKTR:
    """An untrained ACKTR with these settings on new environments."""
    kfac = {"kl": config.kl, "damping": config.damping, "inverse_every": config.inverse_every}
    return ACKTR(**_settings(config), fisher_states=config.fisher_states, kfac=kfac)


def _learning_rate(config: ActorCriticConfig, remaining: float) -> float:
    """The learning rate when a share ``remaining`` of the training remains."""
    return max(remaining, 0.0) * config.learning_rate


def _settings(config: ActorCriticConfig) -> dict[str, Any]:
    return {
        "policy": ActorCriticCnnPolicy,
        "env": arena_of(config.game, config.pedestrians).make_training_env(config.envs, config.seed),
        "learning_rate": partial(_learning_rate, config),
        "n_steps": config.n_steps,
        "gamma": config.gamma,
        "ent_coef": config.entropy,
        "vf_coef": config.value,
        "policy_kwargs": {
            "net_arch": [],
            "features_extractor_class": PolicyFeatures,
            "features_extractor_kwargs": {"network": config.network},
        },
        "seed": config.seed,
        "device": config.device,
    }


def logits(policy: ActorCriticCnnPolicy, observations: Tensor) -> Tensor:
    """The policy's log-probabilities (b, a) for uint8 observations."""
    distribution = policy.get_distribution(observations).distribution
    assert isinstance(distribution, torch.distributions.Categorical)
    return distribution.logits


def start_from(model: A2C, weights: Mapping[str, Tensor], source: str) -> None:
    """Copies the weights of an agent file into the policy; ``source`` names the file in errors.

    Raises:
        WeightsError: they do not fit the network.
    """
    features = model.policy.features_extractor
    assert isinstance(features, PolicyFeatures)
    parts = {"convolutions": features.convolutions, "hidden": features.hidden}
    named = nn.ModuleDict({**parts, "actor": model.policy.action_net, "critic": model.policy.value_net})
    load_into(named, {name: tensor.float() for name, tensor in weights.items()}, source)


def policy_weights(policy: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a :class:`~weakspot.agents.networks.policy.PolicyNetwork` from the state dict of a training's policy,
    which lists the features again for each head."""
    return {
        name.replace(theirs, ours, 1): tensor.float().cpu()
        for name, tensor in policy.items()
        for theirs, ours in NAMES.items()
        if name.startswith(theirs)
    }

"""Dueling double DQN (Wang et al. 2016; van Hasselt et al. 2016) on stable-baselines3.

The paper's agents (section 4.1) are dueling double DQNs.  stable-baselines3 has DQN; this file adds the two things it
lacks, the double target and the dueling head, as one policy and one algorithm class, and nothing else:

    Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')                                    (dueling head)
    y       = R_n + gamma^n * Q_target(s', argmax_a Q(s', a))                      (double target, n-step return R_n)
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.dqn.policies import CnnPolicy, QNetwork
from torch import Tensor, nn

from weakspot.agents.dueling import HIDDEN, NetworkSize, convolution_layers

__all__ = ["HIDDEN", "ConvFeatures", "DoubleDQN", "DuelingCnnPolicy", "DuelingQNetwork"]


class ConvFeatures(BaseFeaturesExtractor):
    """The convolutions in front of the dueling head, flattened: (b, c, h, w) in [0, 1] to (b, features)."""

    def __init__(self, observation_space: spaces.Box, network: NetworkSize = "nature") -> None:
        convolutions = convolution_layers(observation_space.shape[0], network)
        with torch.no_grad():
            features = convolutions(torch.zeros(1, *observation_space.shape)).shape[1]
        super().__init__(observation_space, features)
        self.convolutions = convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, observations: Tensor) -> Tensor:
        return self.convolutions(observations.contiguous(memory_format=torch.channels_last))


class DuelingQNetwork(QNetwork):
    """Q(s, a) = V(s) + A(s, a) - mean over actions of A(s, .), each stream with one hidden layer (Wang et al. 2016)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        actions = int(self.action_space.n)
        self.q_net = nn.Identity()
        self.value_stream = nn.Sequential(*create_mlp(self.features_dim, 1, self.net_arch, self.activation_fn))
        self.advantage_stream = nn.Sequential(*create_mlp(self.features_dim, actions, self.net_arch, self.activation_fn))

    def forward(self, obs: Any) -> Tensor:
        features = self.extract_features(obs, self.features_extractor)
        advantage = self.advantage_stream(features)
        return self.value_stream(features) + advantage - advantage.mean(dim=1, keepdim=True)


class DuelingCnnPolicy(CnnPolicy):
    """stable-baselines3's CNN policy for DQN with a :class:`DuelingQNetwork`."""

    def make_q_net(self) -> DuelingQNetwork:
        net_args = self._update_features_extractor(self.net_args, features_extractor=None)
        return DuelingQNetwork(**net_args).to(self.device)


class DoubleDQN(DQN):
    """stable-baselines3's DQN with double targets: the online network chooses the action, the target one rates it."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"DuelingCnnPolicy": DuelingCnnPolicy}

    def targets(self, batch: ReplayBufferSamples) -> Tensor:
        """The double targets y (b, 1) of a batch, without gradient."""
        discounts = batch.discounts if batch.discounts is not None else self.gamma
        with torch.no_grad():
            chosen = self.q_net(batch.next_observations).argmax(dim=1, keepdim=True)
            value = self.q_net_target(batch.next_observations).gather(1, chosen)
            return batch.rewards + (1 - batch.dones) * discounts * value

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        assert self.replay_buffer is not None
        if self.replay_buffer.size() * self.n_envs < self.learning_starts:
            return  # after a resume: the buffer is empty again, and a few states would be learnt by heart
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            target = self.targets(batch)
            answered = self.q_net(batch.observations).gather(1, batch.actions.long())
            loss = F.smooth_l1_loss(answered, target)
            self.policy.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(np.mean(losses)))

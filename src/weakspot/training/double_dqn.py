"""Dueling double DQN (Wang et al. 2016; van Hasselt et al. 2016) on stable-baselines3.

The paper's agents (section 4.1) are dueling double DQNs.  stable-baselines3 has DQN; this file adds the two things it
lacks, the double target and the dueling head, as one policy and one algorithm class:

    Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')                                    (dueling head)
    y       = R_n + gamma^n * Q_target(s', argmax_a Q(s', a))                      (double target, n-step return R_n)

and what makes training on two cores feasible: a running average of the weights, an epsilon for each environment, repeated
random actions, and convolutions on blocks of pixels, in bfloat16 where that is fast.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, cast

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
from torch.optim.swa_utils import get_ema_multi_avg_fn

from weakspot.agents.networks.convolutions import HIDDEN, NetworkSize, convolution_layers
from weakspot.agents.tensors.weights import load_into
from weakspot.errors import ConfigError
from weakspot.system.compute import resolve
from weakspot.training.atari import AtariTrainingEnv
from weakspot.training.config import DoubleDQNConfig

REPEAT_EXPONENT, MAX_REPEATS = 2.0, 30
"""A random action is repeated for k decisions with probability proportional to k^-2, and for ``MAX_REPEATS`` at most."""

TRANSITION = 2 * 4 * 84 * 84
"""Bytes of the observations of one transition in the replay buffer."""

BLOCK = 4
"""Side of the pixel blocks that the network reads, in pixels: the stride of the first convolution."""


def blocks(observations: Tensor, dtype: torch.dtype) -> Tensor:
    """Observations (b, c, h, w) uint8 as blocks of 4x4 pixels (b, 16c, h/4, w/4), ``dtype`` in 0 to 255, channels last.

    The integers 0 to 255 are exact in bfloat16; divided by 255 they are not.  Four pixels of a row are moved at a time, as
    one int32.
    """
    n, channels, height, width = observations.shape
    rows, columns = height // BLOCK, width // BLOCK
    quads = observations.contiguous().view(torch.int32).view(n, channels, rows, BLOCK, columns)
    moved = quads.permute(0, 2, 4, 1, 3).contiguous().view(torch.uint8)
    return moved.view(n, rows, columns, channels * BLOCK**2).to(dtype).permute(0, 3, 1, 2)


class ConvFeatures(BaseFeaturesExtractor):
    """The convolutions in front of the dueling head, flattened: :func:`blocks` of observations to (b, features).

    The first convolution, 8x8 with stride 4 on few channels, is computed as one of 2x2 with stride 1 on blocks: the same
    sum, in an order that matrix units take several times faster.
    """

    def __init__(self, observation_space: spaces.Box, network: NetworkSize = "nature") -> None:
        convolutions, features = convolution_layers(observation_space.shape, network)
        super().__init__(observation_space, features)  # pyright: ignore[reportUnknownMemberType]  # untyped Space
        self.convolutions: nn.Sequential = cast(Any, convolutions).to(memory_format=torch.channels_last)

    def forward(self, observations: Tensor) -> Tensor:
        first = self.convolutions[0]
        assert isinstance(first, nn.Conv2d)
        out, channels, *size = first.weight.shape
        rows, columns = size[0] // BLOCK, size[1] // BLOCK
        weight = (first.weight / 255).reshape(out, channels, rows, BLOCK, columns, BLOCK)
        weight = weight.permute(0, 1, 3, 5, 2, 4).reshape(out, channels * BLOCK**2, rows, columns)
        return self.convolutions[1:](F.conv2d(observations, weight, first.bias))


class DuelingQNetwork(QNetwork):
    """Q(s, a) = V(s) + A(s, a) - mean over actions of A(s, .), each stream with one hidden layer (Wang et al. 2016).

    Convolutions and hidden layers are computed in ``dtype``, the weights themselves and the last layers in float32.
    """

    def __init__(self, *args: Any, dtype: torch.dtype = torch.float32, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType]  # untyped Space
        actions = int(self.action_space.n)
        self.dtype = dtype
        self.q_net = nn.Identity()
        self.value_stream = nn.Sequential(*create_mlp(self.features_dim, 1, self.net_arch, self.activation_fn))
        self.advantage_stream = nn.Sequential(*create_mlp(self.features_dim, actions, self.net_arch, self.activation_fn))

    def forward(self, obs: Any) -> Tensor:
        return self.values(blocks(obs, self.dtype))

    def values(self, observations: Tensor) -> Tensor:
        """Q-values (b, a) float32 of observations from :func:`blocks`."""
        with torch.autocast(observations.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = self.features_extractor(observations)
            value, advantage = self.value_stream[:-1](features), self.advantage_stream[:-1](features)
        advantage = self.advantage_stream[-1](advantage.float())
        return self.value_stream[-1](value.float()) + advantage - advantage.mean(dim=1, keepdim=True)


class DuelingCnnPolicy(CnnPolicy):
    """stable-baselines3's CNN policy for DQN with two :class:`DuelingQNetwork` that compute in ``dtype``."""

    def __init__(self, *args: Any, dtype: torch.dtype = torch.float32, **kwargs: Any) -> None:
        self.compute_dtype = dtype  # before the networks are built, which the next line does
        super().__init__(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType]  # untyped Space

    def make_q_net(self) -> DuelingQNetwork:
        net_args = self._update_features_extractor(cast(Any, self).net_args, features_extractor=None)
        return DuelingQNetwork(**net_args, dtype=self.compute_dtype).to(self.device)


class DoubleDQN(DQN):
    """stable-baselines3's DQN with double targets: the online network chooses the action, the target network evaluates it.

    It also maintains a running average of the online network's weights, whose scores vary less than those of the network
    after single updates.

    Each environment has its own epsilon.  Without sticky actions, an almost greedy policy repeats the same trajectory again
    and again, and a replay buffer filled with one trajectory does not teach how to leave it.  For the same reason a random
    action is repeated for a random number of decisions (Dabney et al. 2021): a single one hardly moves a paddle.

    Args:
        decay: of the running average, per update.
        epsilons: lower bound of epsilon in each environment (n,), or None for the epsilon of the schedule alone.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"DuelingCnnPolicy": DuelingCnnPolicy}

    def __init__(self, *args: Any, decay: float = 0.0, epsilons: np.ndarray | None = None, **kwargs: Any) -> None:
        self.decay, self.epsilons = decay, epsilons
        self.repeated: np.ndarray | None = None
        """For each environment, the random action being repeated, and the number of decisions left (n, 2)."""
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        self.average = copy.deepcopy(self.q_net).requires_grad_(False)

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Greedy actions, or each environment's mixture of greedy and random ones."""
        actions, state = self.policy.predict(observation, state, episode_start, deterministic=True)
        if not deterministic:
            shares = np.maximum(self.exploration_rate, 0.0 if self.epsilons is None else self.epsilons)
            if self.repeated is None:
                self.repeated = np.zeros((len(actions), 2), dtype=np.int64)
            random_actions = np.random.randint(int(cast(Any, self).action_space.n), size=len(actions))
            durations = np.minimum(np.random.zipf(REPEAT_EXPONENT, size=len(actions)), MAX_REPEATS)
            starting = (self.repeated[:, 1] == 0) & (np.random.random(len(actions)) < shares)
            self.repeated[starting] = np.stack([random_actions, durations], axis=1)[starting]
            exploring = self.repeated[:, 1] > 0
            actions = np.where(exploring, self.repeated[:, 0], actions)
            self.repeated[exploring, 1] -= 1
        return actions, state

    def targets(self, batch: ReplayBufferSamples) -> Tensor:
        """The double targets y (b, 1) of a batch, without gradient."""
        discounts = batch.discounts if batch.discounts is not None else self.gamma
        with torch.no_grad():
            online, target = self.q_net, self.q_net_target
            assert isinstance(online, DuelingQNetwork) and isinstance(target, DuelingQNetwork)
            next_blocks = blocks(batch.next_observations, online.dtype)
            chosen = online.values(next_blocks).argmax(dim=1, keepdim=True)
            value = target.values(next_blocks).gather(1, chosen)
            return batch.rewards + (1 - batch.dones) * discounts * value

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        assert self.replay_buffer is not None
        if self.replay_buffer.size() * self.n_envs < self.learning_starts:
            return  # after a resume the buffer is empty again, and training on a few states would overfit
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses: list[float] = []
        average = cast(Callable[..., None], get_ema_multi_avg_fn(self.decay))
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            target = self.targets(batch)
            q_values = self.q_net(batch.observations).gather(1, batch.actions.long())
            loss = F.smooth_l1_loss(q_values, target)
            self.policy.optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            average(list(self.average.parameters()), list(self.q_net.parameters()), self._n_updates)
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(np.mean(losses)))


def build_double_dqn(config: DoubleDQNConfig) -> DoubleDQN:
    """An untrained double DQN with these settings on new environments.

    Raises:
        ConfigError: the replay buffer does not fit into this machine's memory.
    """
    needed, memory = config.buffer_size * TRANSITION, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise ConfigError(
            f"a buffer of {config.buffer_size:,} transitions takes {needed / 1e9:,.0f} GB; there are {memory / 1e9:.0f}",
            expected="one that fits into its memory",
            todo="lower --buffer-size",
        )
    env = AtariTrainingEnv(config.game, config.envs, seed=config.seed)
    return DoubleDQN(
        DuelingCnnPolicy,
        env,
        learning_rate=partial(learning_rate, config),
        buffer_size=config.buffer_size,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        gamma=config.gamma,
        train_freq=1,
        gradient_steps=config.updates,
        n_steps=config.n_steps,
        target_update_interval=config.target_interval,
        exploration_fraction=config.exploration_steps / config.steps,
        exploration_final_eps=config.exploration_final,
        policy_kwargs={
            "net_arch": [HIDDEN[config.network]],
            "features_extractor_class": ConvFeatures,
            "features_extractor_kwargs": {"network": config.network},
            "normalize_images": False,  # the network divides by 255 itself
            "optimizer_kwargs": {"fused": True},
            "dtype": resolve(config.precision, config.device),
        },
        seed=config.seed,
        device=config.device,
        decay=config.average,
        epsilons=np.geomspace(config.exploration_final, config.exploration_most, config.envs),
    )


def learning_rate(config: DoubleDQNConfig, remaining: float) -> float:
    """The learning rate when a share ``remaining`` of the training remains."""
    return config.final_learning_rate + max(remaining, 0.0) * (config.learning_rate - config.final_learning_rate)


def start_from(model: DoubleDQN, weights: Mapping[str, Tensor], source: str) -> None:
    """Copies the weights of an agent file into the online network, the target network and the average; ``source`` names the
    file in errors.

    Raises:
        WeightsError: they do not fit the network.
    """
    named = {
        f"features_extractor.{name}" if name.startswith("convolutions.") else name: tensor.float()
        for name, tensor in weights.items()
    }
    for network in (model.q_net, model.q_net_target, model.average):
        load_into(network, named, source)


def dueling_weights(network: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a :class:`~weakspot.agents.networks.dueling.DuelingNetwork` from the state dict of a training's
    Q-network."""
    return {name.removeprefix("features_extractor."): tensor.float().cpu() for name, tensor in network.items()}

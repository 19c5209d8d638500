"""ACKTR: A2C with natural gradient steps in a trust region (Wu et al. 2017).

    loss = -E[A log pi(a | s)] + c_v E[(R - V(s))^2] - c_e E[H(pi(. | s))]

as in A2C.  The network's predictive distribution is that of an action drawn from pi and a return drawn from N(V(s), 1).  The
Fisher matrix of this joint distribution is estimated from one sample per state, and :mod:`weakspot.training.kfac` computes
the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3 import A2C
from torch import Tensor

from weakspot.errors import ConfigError
from weakspot.training.kfac import KFAC


class ACKTR(A2C):
    """A2C of stable-baselines3 with K-FAC as the optimiser.

    Args:
        policy, env: as for A2C; the network may have parameters in linear layers and convolutions only.
        learning_rate: the largest factor of the natural gradient, or a schedule for it.
        fisher_states: number of random states of each batch that the Fisher matrix is estimated from; all of them if there
            are fewer.
        kfac: further arguments of :class:`~weakspot.training.kfac.KFAC`, such as ``kl``.
        settings: further arguments of A2C, except those of A2C's own optimiser.

    Raises:
        ConfigError: a setting of A2C's own optimiser is given, or ``fisher_states`` is below 1.
    """

    def __init__(
        self,
        policy: Any,
        env: Any,
        *,
        learning_rate: Any = 0.25,
        fisher_states: int = 32,
        kfac: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        if unused := sorted({"max_grad_norm", "use_rms_prop", "rms_prop_eps"} & settings.keys()):
            raise ConfigError(f"ACKTR with {', '.join(unused)}", expected="kfac with kl, which bounds its steps")
        if fisher_states < 1:
            raise ConfigError(f"fisher_states is {fisher_states}", expected="a whole number, at least 1")
        self._fisher_states = fisher_states
        self._kfac = kfac or {}
        super().__init__(policy, env, learning_rate=learning_rate, **settings)

    def _setup_model(self) -> None:
        super()._setup_model()
        self.policy.optimizer = KFAC(self.policy, learning_rate=self.lr_schedule(1), **self._kfac)

    def train(self) -> None:
        """One step on the last rollout."""
        optimizer = self.policy.optimizer
        assert isinstance(optimizer, KFAC)
        self.policy.set_training_mode(True)
        self._update_learning_rate(optimizer)
        (rollout,) = self.rollout_buffer.get(batch_size=None)
        actions = rollout.actions
        if isinstance(cast(Any, self).action_space, spaces.Discrete):
            actions = actions.long().flatten()
        subset = slice(self._fisher_states)  # the buffer is shuffled
        self._observe(optimizer, rollout.observations[subset], actions[subset])
        values, log_likelihood, entropy = self.policy.evaluate_actions(rollout.observations, actions)
        values = values.flatten()
        advantages = rollout.advantages
        if self.normalize_advantage:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy_loss = -(advantages * log_likelihood).mean()
        value_loss = F.mse_loss(rollout.returns, values)
        mean_entropy = -log_likelihood.mean() if entropy is None else entropy.mean()
        optimizer.zero_grad()
        torch.autograd.backward(policy_loss + self.vf_coef * value_loss - self.ent_coef * mean_entropy)
        optimizer.step()
        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/policy_loss", policy_loss.item())
        self.logger.record("train/value_loss", value_loss.item())
        self.logger.record("train/entropy", mean_entropy.item())

    def _observe(self, optimizer: KFAC, observations: Tensor, actions: Tensor) -> None:
        """Updates the Fisher matrix with states and one sample of the network's predictions for each: the action taken, and
        a return."""
        with optimizer.record_layers() as records:
            values, log_likelihood, _ = self.policy.evaluate_actions(observations, actions)
        optimizer.observe(records, log_likelihood + self._return_log_likelihood(values.flatten()))

    def _return_log_likelihood(self, values: Tensor) -> Tensor:
        """log N(v; V, 1) of a return v drawn from this distribution, up to a constant (b,)."""
        sampled = values.detach() + torch.randn_like(values)
        return -0.5 * (values - sampled).square()

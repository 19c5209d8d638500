"""ACKTR on a problem with a known solution."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from torch.distributions import Categorical

pytest.importorskip("stable_baselines3", reason="the training extra is not installed")

from stable_baselines3 import A2C
from stable_baselines3.common.vec_env import DummyVecEnv

from weakspot.errors import ConfigError
from weakspot.training.acktr import ACKTR
from weakspot.training.kfac import KFAC

torch.set_num_threads(1)


class Matching(gymnasium.Env):
    """The reward is 1 for naming the lit one of four places; episodes are eight decisions long."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)

    def _observe(self):
        self.place = int(self.np_random.integers(4))
        return np.eye(4, dtype=np.float32)[self.place]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        reward, self.time = float(action == self.place), self.time + 1
        return self._observe(), reward, self.time >= 8, False, {}


class MatchingWithoutReward(Matching):
    """The same without a reward."""

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 0.0, *rest


def make_model(kind: type[A2C], **settings) -> A2C:
    return kind("MlpPolicy", DummyVecEnv([Matching] * 16), n_steps=4, gamma=0.0, seed=0, **settings)


def accuracy(model: A2C) -> float:
    """Probability of the right action, on average over the places."""
    places = torch.eye(4)
    with torch.no_grad():
        policy = model.policy.get_distribution(places).distribution
    assert isinstance(policy, Categorical)
    return float(policy.probs.diagonal().mean())


def test_acktr_learns_the_rewarded_actions_faster_than_a2c():
    model, plain = make_model(ACKTR, ent_coef=0.01), make_model(A2C, ent_coef=0.01)
    assert accuracy(model) == pytest.approx(0.25, abs=0.05)
    for learner in (model, plain):
        learner.learn(64 * 30)
    assert accuracy(model) > 0.95 and accuracy(model) > accuracy(plain) + 0.05, (accuracy(model), accuracy(plain))
    model.learn(64 * 40, reset_num_timesteps=False)
    values = model.policy.predict_values(torch.eye(4)).detach().flatten().tolist()
    assert values == pytest.approx([accuracy(model)] * 4, abs=0.2)


def test_entropy_coefficient_rewards_entropy_with_its_sign():
    """Only entropy counts: a preference of the policy disappears, or grows if the coefficient is negative."""
    entropies = []
    for coefficient in (1.0, -1.0):
        model = make_model(ACKTR, ent_coef=coefficient)
        with torch.no_grad():
            model.policy.action_net.bias.copy_(torch.tensor([1.5, 0.0, 0.0, 0.0]))
        model.env.envs = [MatchingWithoutReward() for _ in model.env.envs]
        model.learn(64 * 20)
        entropies.append(float(model.policy.get_distribution(torch.eye(4)).entropy().mean()))
    assert entropies[0] > 1.3 > 0.9 > entropies[1], entropies


def test_a_step_changes_the_policy_by_no_more_than_its_bound():
    """With a single layer, whose bound is exact apart from the sampling of its factors."""
    model = make_model(
        ACKTR,
        learning_rate=1e6,
        kfac={"kl": 1e-3, "momentum": 0.0, "decay": 0.9},
        ent_coef=0.01,
        policy_kwargs={"net_arch": []},
    )
    model.learn(64 * 10)
    optimizer = model.policy.optimizer
    assert isinstance(optimizer, KFAC) and optimizer.steps == 10
    before = model.policy.get_distribution(torch.eye(4)).distribution.logits.detach()
    model.learn(64, reset_num_timesteps=False)
    after = model.policy.get_distribution(torch.eye(4)).distribution.logits.detach()
    kl = (before.exp() * (before - after)).sum(dim=1).mean()
    assert 1e-5 < kl < 2e-3, float(kl)


def test_fisher_matrix_is_estimated_from_the_given_number_of_states(monkeypatch):
    observed = []
    observe = KFAC.observe

    def counted(self, passed, log_likelihood):
        observed.append([len(log_likelihood), *(len(inputs) for _, inputs, _ in passed)])
        observe(self, passed, log_likelihood)

    monkeypatch.setattr(KFAC, "observe", counted)
    for states in (5, 1000):
        make_model(ACKTR, fisher_states=states).learn(64)
    few, all_of_them = (set(numbers) for numbers in observed)
    assert few == {5} and all_of_them == {64}
    with pytest.raises(ConfigError, match="fisher_states"):
        make_model(ACKTR, fisher_states=0)


def test_the_same_seed_gives_the_same_bits():
    models = [make_model(ACKTR) for _ in range(2)]
    for model in models:
        model.set_random_seed(3)
        model.learn(64 * 5)
    for a, b in zip(models[0].policy.parameters(), models[1].policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_sampled_return_has_the_fisher_information_of_a_unit_gaussian():
    model = make_model(ACKTR)
    torch.manual_seed(0)
    values = torch.zeros(20_000, requires_grad=True)
    (gradient,) = torch.autograd.grad(model._return_log_likelihood(values).sum(), values)
    assert gradient.mean() == pytest.approx(0.0, abs=0.03) and gradient.square().mean() == pytest.approx(1.0, abs=0.03)

"""ACKTR on a problem whose answer is known."""

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
    """Paid for naming the one of four places that is lit; episodes are eight decisions long."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)

    def _lit(self):
        self.place = int(self.np_random.integers(4))
        return np.eye(4, dtype=np.float32)[self.place]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._lit(), {}

    def step(self, action):
        reward, self.time = float(action == self.place), self.time + 1
        return self._lit(), reward, self.time >= 8, False, {}


class NothingPaid(Matching):
    """The same without pay."""

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 0.0, *rest


def made(kind: type[A2C], **settings) -> A2C:
    return kind("MlpPolicy", DummyVecEnv([Matching] * 16), n_steps=4, gamma=0.0, seed=0, **settings)


def right(model: A2C) -> float:
    """Probability of the right action, on average over the places."""
    places = torch.eye(4)
    with torch.no_grad():
        policy = model.policy.get_distribution(places).distribution
    assert isinstance(policy, Categorical)
    return float(policy.probs.diagonal().mean())


def test_it_learns_what_is_paid_for_and_sooner_than_a2c():
    model, plain = made(ACKTR, ent_coef=0.01), made(A2C, ent_coef=0.01)
    assert right(model) == pytest.approx(0.25, abs=0.05)
    for learner in (model, plain):
        learner.learn(64 * 30)
    assert right(model) > 0.95 and right(model) > right(plain) + 0.05, (right(model), right(plain))
    model.learn(64 * 40, reset_num_timesteps=False)
    values = model.policy.predict_values(torch.eye(4)).detach().flatten().tolist()
    assert values == pytest.approx([right(model)] * 4, abs=0.2)


def test_entropy_is_worth_what_is_said():
    """All that is paid here is the entropy: a policy that prefers an action forgets it, and learns it where that costs."""
    spreads = []
    for worth in (1.0, -1.0):
        model = made(ACKTR, ent_coef=worth)
        with torch.no_grad():
            model.policy.action_net.bias.copy_(torch.tensor([1.5, 0.0, 0.0, 0.0]))
        model.env.envs = [NothingPaid() for _ in model.env.envs]
        model.learn(64 * 20)
        spreads.append(float(model.policy.get_distribution(torch.eye(4)).entropy().mean()))
    assert spreads[0] > 1.3 > 0.9 > spreads[1], spreads


def test_a_step_changes_the_policy_by_no_more_than_its_bound():
    """With one layer, of which the bound is exact but for the samples that its factors are made of."""
    model = made(
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


def test_the_fisher_matrix_is_found_from_as_many_states_as_are_said(monkeypatch):
    seen = []
    observe = KFAC.observe

    def counted(self, passed, log_likelihood):
        seen.append([len(log_likelihood), *(len(given) for _, given, _ in passed)])
        observe(self, passed, log_likelihood)

    monkeypatch.setattr(KFAC, "observe", counted)
    for states in (5, 1000):
        made(ACKTR, fisher_states=states).learn(64)
    few, all_of_them = (set(counts) for counts in seen)
    assert few == {5} and all_of_them == {64}
    with pytest.raises(ConfigError, match="fisher_states"):
        made(ACKTR, fisher_states=0)


def test_the_same_seed_gives_the_same_bits():
    models = [made(ACKTR) for _ in range(2)]
    for model in models:
        model.set_random_seed(3)
        model.learn(64 * 5)
    for a, b in zip(models[0].policy.parameters(), models[1].policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_drawn_return_has_the_fisher_information_of_a_unit_gaussian():
    model = made(ACKTR)
    torch.manual_seed(0)
    values = torch.zeros(20_000, requires_grad=True)
    (slope,) = torch.autograd.grad(model._drawn_return(values).sum(), values)
    assert slope.mean() == pytest.approx(0.0, abs=0.03) and slope.square().mean() == pytest.approx(1.0, abs=0.03)

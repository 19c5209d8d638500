"""Agents of RLlib, loaded from real checkpoints by the code on the page about it."""

from __future__ import annotations

import os

import gymnasium
import numpy as np
import pytest
import torch
from page_code import blocks

from weakspot.agents.load import load_agent
from weakspot.interface import Interface

for package in ("tree", "lz4", "ormsgpack", "tensorboardX"):
    pytest.importorskip(package, reason="RLlib needs it")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")  # other tests in this process need Ray to have been imported with it
os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
ray = pytest.importorskip("ray", reason="the extra ray is not installed")

from ray.rllib.algorithms.dqn import DQNConfig  # noqa: E402
from ray.rllib.algorithms.ppo import PPOConfig  # noqa: E402
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig  # noqa: E402

torch.set_num_threads(1)
INTERFACE = Interface("noise", tuple("ABCDEF"), (4, 64, 64))


class Images(gymnasium.Env):
    """Noise with the shape of observations of RLlib's wrapper for Atari games."""

    observation_space = gymnasium.spaces.Box(-1, 1, (64, 64, 4), np.float32)
    action_space = gymnasium.spaces.Discrete(6)

    def __init__(self, config=None) -> None:
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


MODEL = DefaultModelConfig(
    conv_filters=[[4, 4, 2], [8, 4, 2], [8, 4, 2]],
    conv_activation="relu",
    head_fcnet_hiddens=[16],
    head_fcnet_activation="relu",
    fcnet_hiddens=[],
    vf_share_layers=True,
)


@pytest.fixture(scope="module")
def cluster():
    """Ray with one core; RLlib would start it with all of them, and leave it running."""
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture(params=[PPOConfig, DQNConfig])
def algorithm(request, cluster):
    config = request.param().environment(Images).env_runners(num_env_runners=0).learners(num_learners=0)
    built = config.rl_module(model_config=MODEL).build_algo()
    yield built
    built.stop()


def test_the_code_on_the_page_loads_a_checkpoint(algorithm, tmp_path):
    algorithm.save_to_path(tmp_path / "checkpoint")
    (tmp_path / "my_agent.py").write_text(blocks("rllib")[0])
    agent = load_agent(f"{tmp_path / 'my_agent.py'}:agent", environment=INTERFACE)
    x = torch.randint(256, (3, 4, 64, 64), generator=torch.Generator().manual_seed(0)).float()
    theirs = {"obs": x.permute(0, 2, 3, 1) / 128 - 1}
    module = algorithm.get_module()
    output = agent(x.requires_grad_())
    if hasattr(module, "compute_q_values"):
        assert agent.spec.scores_are == "q-values" and output.value is None
        actions = module.forward_inference(theirs)["actions"]
        torch.testing.assert_close(output.scores.argmax(dim=1), actions)
        torch.testing.assert_close(output.scores.detach(), module.compute_q_values(theirs)["qf_preds"].detach())
    else:
        assert agent.spec.scores_are == "log-probabilities"
        logits = module.forward_inference(theirs)["action_dist_inputs"]
        torch.testing.assert_close(output.scores.detach(), logits.log_softmax(dim=1))
        learner = algorithm.learner_group._learner.module["default_policy"]  # the other one has no critic
        torch.testing.assert_close(output.value.detach(), learner.compute_values(theirs).detach())
    assert output.scores.requires_grad

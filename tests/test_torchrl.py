"""Agents of TorchRL, loaded by the code on the page about them."""

from __future__ import annotations

import pytest
import torch
from noise import images
from page_code import blocks
from torch import nn

from weakspot.agents.base import Perceiver
from weakspot.agents.load import load_agent
from weakspot.envs.observation import gray_observation
from weakspot.saliency.guided import guided_gradient

pytest.importorskip("torchrl", reason="torchrl is not installed")

from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.modules import MLP, ConvNet, OneHotCategorical, ProbabilisticActor, QValueActor, ValueOperator

torch.set_num_threads(1)


def network(outputs: int) -> nn.Sequential:
    built = nn.Sequential(
        ConvNet(activation_class=nn.ReLU, num_cells=[32, 64, 64], kernel_sizes=[8, 4, 3], strides=[4, 2, 1]),
        MLP(activation_class=nn.ReLU, out_features=outputs, num_cells=[512]),
    )
    built(torch.zeros(1, 4, 84, 84))
    return built


def loaded(weights, function, tmp_path):
    torch.save(weights, tmp_path / "weights.pt")
    (tmp_path / "my_agent.py").write_text(blocks("torchrl")[0])
    return load_agent(f"{tmp_path / 'my_agent.py'}:{function}", environment="pong")


def data() -> TensorDict:
    return TensorDict({"pixels": images() / 255}, batch_size=3)


def test_dqn(tmp_path):
    actor = QValueActor(network(6), in_keys=["pixels"], action_space="one-hot", spec=None)
    agent = loaded([actor.state_dict()], "dqn", tmp_path)
    assert agent.spec.scores_are == "q-values"
    theirs = actor(data())
    torch.testing.assert_close(agent(images()).scores, theirs["action_value"].detach())
    assert torch.equal(agent(images()).scores.argmax(dim=1), theirs["action"].int().argmax(dim=1))
    state = torch.rand(2, 12, 84, 84, generator=torch.Generator().manual_seed(0))
    assert guided_gradient(Perceiver(agent, gray_observation), state).abs().max() > 0


def test_ppo(tmp_path):
    logits = TensorDictModule(network(6), in_keys=["pixels"], out_keys=["logits"])
    actor = ProbabilisticActor(logits, in_keys=["logits"], distribution_class=OneHotCategorical)
    critic = ValueOperator(network(1), in_keys=["pixels"])
    agent = loaded([actor[0].state_dict(), critic.state_dict()], "ppo", tmp_path)
    assert agent.spec.scores_are == "log-probabilities"
    with torch.no_grad():
        distribution = actor.get_dist(data())
        torch.testing.assert_close(agent(images()).scores, distribution.logits.log_softmax(dim=1))
        torch.testing.assert_close(agent(images()).value, critic(data())["state_value"][:, 0])

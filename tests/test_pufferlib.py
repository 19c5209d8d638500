"""Weights of PufferLib's policies for Atari, written as files of CleanRL by the code on the page about them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from noise import images
from page_code import blocks
from torch import nn

from weakspot.agents.load import load_agent
from weakspot.agents.recurrent import AtHidden
from weakspot.interface import Interface

torch.set_num_threads(1)
PONG = "PongNoFrameskip-v4"


class Convolutional(nn.Module):
    """Layers with the names of PufferLib's policy."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(frames, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(),
        )  # fmt: skip
        self.actor, self.value_fn = nn.Linear(512, 6), nn.Linear(512, 1)

    def forward(self, observation):
        features = self.network(observation / 255)
        return self.actor(features), self.value_fn(features)


class WithMemory(nn.Module):
    """Names of the policy in PufferLib's wrapper: the older ones and the newer ones, which also have a cell."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.policy = Convolutional(1)
        self.add_module(name, nn.LSTM(512, 128))
        self.policy.actor, self.policy.value_fn = nn.Linear(128, 6), nn.Linear(128, 1)
        if name == "lstm":
            self.cell = nn.LSTMCell(512, 128)


def convert(weights, tmp_path):
    torch.save(weights, tmp_path / "model.pt")
    names = {}
    exec(blocks("pufferlib")[0], names)
    names["convert"](tmp_path / "model.pt", tmp_path / f"{PONG}.cleanrl_model")
    return str(tmp_path / f"{PONG}.cleanrl_model")


def check(network, weights, tmp_path) -> None:
    agent = load_agent(convert(weights, tmp_path))
    with torch.no_grad():
        logits, value = network(images())
    torch.testing.assert_close(agent(images()).scores, logits.log_softmax(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(agent(images()).value, value[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "policy.", "module.policy.policy."])
def test_a_policy_without_memory(prefix, tmp_path):
    network = Convolutional(4)
    check(network, {prefix + name: tensor for name, tensor in network.state_dict().items()}, tmp_path)


@pytest.mark.parametrize("name", ["recurrent", "lstm"])
def test_a_policy_with_memory(name, tmp_path):
    network = WithMemory(name)
    one_frame = Interface(PONG, tuple("ABCDEF"), (1, 84, 84))
    agent = load_agent(
        convert({f"policy.{key}": w for key, w in network.state_dict().items()}, tmp_path), environment=one_frame
    )
    x, hidden = images()[:, :1], torch.randn(3, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network.policy.network(x / 255)
        state = tuple(part[None].contiguous() for part in hidden.split(128, dim=1))
        memory = getattr(network, name)(features[None], state)[0][0]
        logits, value = network.policy.actor(memory), network.policy.value_fn(memory)
    output = AtHidden(agent, hidden)(x)
    torch.testing.assert_close(output.scores, logits.log_softmax(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.value, value[:, 0], rtol=1e-4, atol=1e-5)


def test_pufferlib_itself(tmp_path):
    models = pytest.importorskip("pufferlib.models", reason="PufferLib is not installed: make test-frameworks")
    environment = SimpleNamespace(single_action_space=SimpleNamespace(n=6))
    network = models.Convolutional(environment, framestack=4, flat_size=64 * 7 * 7)
    check(network, network.state_dict(), tmp_path)

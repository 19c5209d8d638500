"""The actor-critic network of the pytorch-a2c-ppo-acktr line of repositories (I. Kostrikov), from a plain state dict.

84x84x4 divided by 255, three convolutions without padding, one hidden layer, ReLU after each, a linear head for the
action logits and one for the value.  Its policies are stochastic: actions are drawn from the softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from weakspot.agents.fitting import check_actions, fitted
from weakspot.agents.module import ModuleAgent
from weakspot.agents.tensors.weights import fill, unfilled
from weakspot.interface import Interface

FRAMES, HEIGHT, WIDTH = 4, 84, 84


class ActorCriticNetwork(nn.Module):
    """Maps observations (b, 4, 84, 84) in 0 to 255 to action logits (b, a) and values (b, 1)."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(FRAMES, 32, 8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 32, 3, stride=1)
        self.linear1 = nn.Linear(32 * 7 * 7, 512)
        self.actor_linear = nn.Linear(512, actions)
        self.critic_linear = nn.Linear(512, 1)
        self.relu = nn.ReLU()

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        x = observation / 255.0
        for convolution in (self.conv1, self.conv2, self.conv3):
            x = self.relu(convolution(x))
        x = self.relu(self.linear1(x.flatten(1)))
        return self.actor_linear(x), self.critic_linear(x)


LATER_NAMES = {
    "base.main.0": "conv1",
    "base.main.2": "conv2",
    "base.main.4": "conv3",
    "base.main.7": "linear1",
    "base.critic_linear": "critic_linear",
    "dist.linear": "actor_linear",
}
"""What later versions of the repository call the layers."""


def earlier_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of :class:`ActorCriticNetwork`, where they have those of later versions."""
    renamed = {}
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{LATER_NAMES[layer]}.{kind}" if layer in LATER_NAMES else name] = tensor
    return renamed


def is_actor_critic(weights: Mapping[str, Tensor]) -> bool:
    """Whether the tensors carry the names of this network."""
    return {name.split(".")[0] for name in weights} >= {"conv1", "linear1", "actor_linear", "critic_linear"}


def load_actor_critic(
    path: Path, weights: Mapping[str, Tensor], interface: Interface, *, device: torch.device | str = "cpu"
) -> ModuleAgent:
    """The agent behind a plain state dict.

    Args:
        path: where the weights come from.
        weights: the tensors.
        interface: of the environment it was trained on.
        device: where to compute.

    Raises:
        WeightsError: another network's weights.
        MismatchError: the environment has another number of actions, or shows something else.
    """
    head = weights.get("actor_linear.bias")
    if head is not None and head.dim() == 1:
        check_actions(path, len(head), interface)
    with unfilled():
        network = ActorCriticNetwork(len(interface.action_names))
    fill(network, weights, str(path))
    return fitted(network, path, interface, (FRAMES, HEIGHT, WIDTH), "log-probabilities", device)

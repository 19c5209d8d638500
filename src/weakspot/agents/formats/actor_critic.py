"""The actor-critic network of the pytorch-a2c-ppo-acktr repositories (I. Kostrikov), from a plain state dict.

Observations of 4x84x84 are divided by 255; three convolutions without padding and one hidden layer, a ReLU after each; one
linear head for the action logits and one for the value.  The policies are stochastic: actions are sampled from the softmax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from weakspot.agents.base import Agent
from weakspot.agents.build import NetworkAgent, agent_from_file, check_action_count, resolve_interface
from weakspot.agents.formats.suffixes import TORCH_SAVED
from weakspot.agents.tensors.header import read_header
from weakspot.agents.tensors.state_dicts import strip_prefixes
from weakspot.agents.tensors.weights import load_into, preserve_random_state, read_torch_file, read_weights
from weakspot.errors import WeightsError
from weakspot.interface import Interface

T = TypeVar("T")

FRAMES, HEIGHT, WIDTH = 4, 84, 84

ENVIRONMENT_KEY = "env"
"""Key of the environment's id in the metadata of a safetensors file."""


class ActorCriticFormat:
    """A state dict of this network, in a safetensors file or one of ``torch.save``, or the network pickled whole, of which
    only the tensors are read."""

    name = "actor-critic"

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether the file's tensors have the names of this network."""
        path = Path(reference).expanduser()
        if path.is_file():
            with suppress(WeightsError):
                return is_actor_critic(original_names(dict.fromkeys(_tensor_names(path))))
        return False

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Loads the network; runs no code in the file.

        Raises:
            WeightsError: the file does not name its environment and the user does not either, or the weights do not fit.
            MismatchError: the environment has another number of actions, or other observations.
        """
        path = Path(reference).expanduser()
        weights, metadata = (read_torch_file(path), {}) if _is_torch_file(path) else read_weights(path)
        interface = resolve_interface(path, environment, metadata.get(ENVIRONMENT_KEY))
        return load_actor_critic(path, original_names(weights), interface, device=device)


FORMAT = ActorCriticFormat()


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
"""The layers' names in later versions of the repository, and in :class:`ActorCriticNetwork`."""
BIASES = {"ab1": "conv1", "ab2": "conv2", "ab3": "conv3", "ab_fc1": "linear1"}
"""Modules of early versions for ACKTR that hold the bias of a layer alone (``AddBias``)."""
HEAD_BIASES = ("ab_fc2", "ab_fc3", "dist.ab", "dist.ab1")
"""Such modules of the two heads, in no fixed order: that of the critic has one number."""
SPLIT = {".module.weight": ".weight", ".module.bias": ".bias", ".add_bias._bias": ".bias"}
"""Ends of names in later versions for ACKTR, where each layer is split into its product and its bias (``SplitBias``)."""


def original_names(weights: Mapping[str, T]) -> dict[str, T]:
    """Renames tensors from the names of other versions of the repository to those of :class:`ActorCriticNetwork`; other
    names stay.  A bias in a module of its own, which is a column, becomes a vector."""
    renamed: dict[str, T] = {}
    for name, tensor in strip_prefixes(weights).items():
        joined = next((name.removesuffix(end) + short for end, short in SPLIT.items() if name.endswith(end)), name)
        layer, _, kind = joined.rpartition(".")
        layer = _head(tensor) if layer in HEAD_BIASES else (LATER_NAMES | BIASES).get(layer, layer)
        renamed[f"{layer}.{kind}" if layer else joined] = _as_vector(tensor) if kind == "bias" else tensor
    return renamed


def _head(bias: object) -> str:
    """The head that a bias in a module of its own belongs to."""
    return "critic_linear" if isinstance(bias, Tensor) and bias.numel() == 1 else "actor_linear"


def _as_vector(bias: T) -> T:
    is_column = isinstance(bias, Tensor) and bias.dim() == 2 and bias.shape[1] == 1
    return cast(T, cast(Tensor, bias)[:, 0]) if is_column else bias


def is_actor_critic(names: Iterable[str]) -> bool:
    """Whether tensors of these names are weights of this network."""
    return {name.split(".")[0] for name in names} >= {"conv1", "linear1", "actor_linear", "critic_linear"}


def load_actor_critic(
    path: Path, weights: Mapping[str, Any], interface: Interface, *, device: torch.device | str = "cpu"
) -> NetworkAgent:
    """Returns the agent with the weights of a plain state dict.

    Args:
        path: the file.
        weights: tensors by the names of :class:`ActorCriticNetwork`.
        interface: of the environment it was trained on.
        device: where to compute.

    Raises:
        WeightsError: the weights belong to another network.
        MismatchError: the environment has another number of actions, or other observations.
    """
    head = weights.get("actor_linear.bias")
    if isinstance(head, Tensor) and head.dim() == 1:
        check_action_count(path, len(head), interface)
    with preserve_random_state():
        network = ActorCriticNetwork(len(interface.action_names))
    load_into(network, weights, str(path))
    return agent_from_file(network, path, interface, (FRAMES, HEIGHT, WIDTH), "log-probabilities", device)


def _is_torch_file(path: Path) -> bool:
    return path.suffix.lower() in TORCH_SAVED


def _tensor_names(path: Path) -> Iterable[str]:
    return read_torch_file(path) if _is_torch_file(path) else read_header(path).tensors

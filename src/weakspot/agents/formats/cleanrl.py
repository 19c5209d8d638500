"""The ``.cleanrl_model`` files of CleanRL's Atari scripts; only tensors are read.

These are dqn_atari, c51_atari, ppo_atari and ppo_atari_lstm.

All scripts divide gray frames of 84x84 (four, or one with the LSTM) by 255 and use the convolutions of Mnih et al. 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from weakspot.agents.base import Agent, ScoresAre
from weakspot.agents.build import USE_FACTORY, NetworkAgent, agent_from_file, check_action_count, resolve_interface
from weakspot.agents.formats.suffixes import CLEANRL
from weakspot.agents.listing import join_names
from weakspot.agents.networks.recurrent import RecurrentActorCritic, memory_with
from weakspot.agents.tensors.state_dicts import unwrap
from weakspot.agents.tensors.weights import load_into, preserve_random_state, read_tensors
from weakspot.errors import WeightsError
from weakspot.interface import Interface

FRAMES, SIDE, HIDDEN = 4, 84, 512
FLAT = 64 * 7 * 7


class CleanRLFormat:
    """A ``.cleanrl_model`` file; the environment may be part of the name of its folder."""

    name = "cleanrl"

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether the file has this suffix."""
        path = Path(reference).expanduser()
        return path.suffix.lower() == CLEANRL and path.is_file()

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Loads the network; runs no code in the file.

        Raises:
            WeightsError: the file is damaged, holds more than tensors, or holds another script's network.
            MismatchError: the environment has another number of actions, or other observations.
        """
        path = Path(reference).expanduser()
        content = read_tensors(path.read_bytes(), str(path))
        arguments = content.get("args")
        recorded = cast(Mapping[str, Any], arguments).get("env_id") if isinstance(arguments, Mapping) else None
        return load_cleanrl(path, content, resolve_interface(path, environment, recorded), device=device)


FORMAT = CleanRLFormat()


def convolutions(frames: int = FRAMES) -> list[nn.Module]:
    """The layers up to the 512 features, in CleanRL's numbering."""
    return [
        nn.Conv2d(frames, 32, 8, stride=4), nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(FLAT, HIDDEN), nn.ReLU(),
    ]  # fmt: skip


class DqnNetwork(nn.Module):
    """dqn_atari: Q-values (b, a)."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(*convolutions(), nn.Linear(HIDDEN, actions))

    def forward(self, observation: Tensor) -> Tensor:
        return self.network(observation / 255.0)


class C51Network(nn.Module):
    """c51_atari: Q-values (b, a), the means of categorical distributions over returns (Bellemare et al. 2017).

    Args:
        actions: number of actions.
        atoms: the returns (n,) of the distributions.
    """

    atoms: Tensor

    def __init__(self, actions: int, atoms: Tensor) -> None:
        super().__init__()
        self.register_buffer("atoms", torch.zeros_like(atoms))
        self.network = nn.Sequential(*convolutions(), nn.Linear(HIDDEN, actions * len(atoms)))

    def forward(self, observation: Tensor) -> Tensor:
        logits = self.network(observation / 255.0).unflatten(1, (-1, len(self.atoms)))
        return (logits.softmax(dim=2) * self.atoms).sum(dim=2)


class PpoNetwork(nn.Module):
    """ppo_atari: action logits (b, a) and values (b, 1)."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(*convolutions())
        self.actor, self.critic = nn.Linear(HIDDEN, actions), nn.Linear(HIDDEN, 1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network(observation / 255.0)
        return self.actor(features), self.critic(features)


def load_cleanrl(
    path: Path, content: Mapping[str, Any], interface: Interface, *, device: torch.device | str = "cpu"
) -> NetworkAgent:
    """Returns the agent in a ``.cleanrl_model`` file.

    Args:
        path: the file.
        content: of the file: the state dict itself, or under ``model_weights``.
        interface: of the environment it was trained on.
        device: where to compute.

    Raises:
        WeightsError: the file holds another script's network.
        MismatchError: the environment has another number of actions, or other observations.
    """
    weights = unwrap(content)
    if "lstm.weight_ih_l0" in weights:
        return _load_recurrent(path, weights, interface, device)
    with preserve_random_state():
        network, action_count, scores_are = _network(weights, len(interface.action_names), str(path))
    check_action_count(path, action_count, interface)
    load_into(network, weights, str(path))
    return agent_from_file(network, path, interface, (FRAMES, SIDE, SIDE), scores_are, device)


def _load_recurrent(
    path: Path, weights: Mapping[str, Any], interface: Interface, device: torch.device | str
) -> NetworkAgent:
    """The agent of ppo_atari_lstm, which sees one frame at a time."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}

    frames, actions = weights["network.0.weight"].shape[1], len(weights["actor.weight"])
    check_action_count(path, actions, interface)
    with preserve_random_state():
        memory = memory_with(part("lstm."), str(path))
        features, actor = nn.Sequential(*convolutions(frames)), nn.Linear(memory.lstm.hidden_size, actions)
        network = RecurrentActorCritic(features, None, memory, None, actor, nn.Linear(memory.lstm.hidden_size, 1), 255.0)
    for module, prefix in ((network.features, "network."), (network.actor, "actor."), (network.critic, "critic.")):
        load_into(module, part(prefix), str(path))
    return agent_from_file(network, path, interface, (frames, SIDE, SIDE), "log-probabilities", device)


def _network(weights: Mapping[str, Any], actions: int, source: str) -> tuple[nn.Module, float, ScoresAre]:
    """A new network for these weights, the number of actions that the weights are for, and what its scores are."""
    if "actor.weight" in weights:
        return PpoNetwork(actions), len(weights["actor.weight"]), "log-probabilities"
    last = weights.get("network.9.weight")
    if last is None:
        raise WeightsError(
            f"{source} holds no known agent; its tensors are {join_names(weights)}",
            expected="a file of dqn_atari, c51_atari, ppo_atari or ppo_atari_lstm of CleanRL",
            todo=USE_FACTORY,
        )
    if "atoms" in weights:
        atoms = weights["atoms"]
        return C51Network(actions, atoms), len(last) / len(atoms), "q-values"
    return DqnNetwork(actions), len(last), "q-values"

"""CleanRL's ``.cleanrl_model`` files of its Atari scripts (dqn_atari, c51_atari, ppo_atari), tensors alone.

All of them see four gray frames of 84x84 divided by 255 through the convolutions of Mnih et al. 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weakspot.agents.base import ScoresAre
from weakspot.agents.fitting import WAY_OUT, check_actions, fitted
from weakspot.agents.module import ModuleAgent
from weakspot.agents.tensors.weights import fill, listed, unfilled
from weakspot.errors import WeightsError
from weakspot.interface import Interface

FRAMES, SIDE, HIDDEN = 4, 84, 512
FLAT = 64 * 7 * 7


def convolutions() -> list[nn.Module]:
    """The layers up to 512 features, numbered as CleanRL numbers them."""
    return [
        nn.Conv2d(FRAMES, 32, 8, stride=4), nn.ReLU(),
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
    """c51_atari: Q-values (b, a), the means of distributions over fixed returns (Bellemare et al. 2017)."""

    atoms: Tensor

    def __init__(self, actions: int, atoms: Tensor) -> None:
        super().__init__()
        self.register_buffer("atoms", torch.zeros_like(atoms))
        self.network = nn.Sequential(*convolutions(), nn.Linear(HIDDEN, actions * len(atoms)))

    def forward(self, observation: Tensor) -> Tensor:
        logits = self.network(observation / 255.0).unflatten(1, (-1, len(self.atoms)))
        return (logits.softmax(dim=2) * self.atoms).sum(dim=2)


class PpoNetwork(nn.Module):
    """ppo_atari: logits (b, a) and values (b, 1)."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(*convolutions())
        self.actor, self.critic = nn.Linear(HIDDEN, actions), nn.Linear(HIDDEN, 1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network(observation / 255.0)
        return self.actor(features), self.critic(features)


def load_cleanrl(
    path: Path, content: Mapping[str, Any], interface: Interface, *, device: torch.device | str = "cpu"
) -> ModuleAgent:
    """The agent in a ``.cleanrl_model`` file.

    Args:
        path: the file.
        content: what is in it.
        interface: of the environment it was trained on.
        device: where to compute.

    Raises:
        WeightsError: the file holds another script's network.
        MismatchError: the environment has another number of actions, or shows something else.
    """
    weights: Mapping[str, Tensor] = content.get("model_weights", content)
    with unfilled():
        network, answered, scores_are = _network(weights, len(interface.action_names), str(path))
    check_actions(path, answered, interface)
    fill(network, weights, str(path))
    return fitted(network, path, interface, (FRAMES, SIDE, SIDE), scores_are, device)


def _network(weights: Mapping[str, Any], actions: int, source: str) -> tuple[nn.Module, float, ScoresAre]:
    """An empty network for these weights, the number of actions that they answer, and what its scores are."""
    if "actor.weight" in weights:
        return PpoNetwork(actions), len(weights["actor.weight"]), "log-probabilities"
    last = weights.get("network.9.weight")
    if last is None:
        raise WeightsError(
            f"{source} holds no agent that is known here; its tensors are {listed(weights)}",
            expected="what dqn_atari, c51_atari or ppo_atari of CleanRL save",
            todo=WAY_OUT,
        )
    if "atoms" in weights:
        atoms = weights["atoms"]
        return C51Network(actions, atoms), len(last) / len(atoms), "q-values"
    return DqnNetwork(actions), len(last), "q-values"

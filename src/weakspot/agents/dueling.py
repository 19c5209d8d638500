"""The dueling Q-network (Wang et al. 2016) in plain torch, and the file format of the agents this package trains.

    Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')

An agent is one safetensors file: the weights as float16, and in the metadata, under ``weakspot``, a JSON card with
all that is needed to rebuild the agent and to know how good it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from weakspot.agents.base import AgentSpec
from weakspot.agents.module import ModuleAgent, fingerprint
from weakspot.agents.weights import fill, listed, read_weights, unfilled
from weakspot.errors import WeightsError
from weakspot.files import write_atomic

FORMAT = 1
"""Version of the file format; a file of a newer one is refused."""

KIND = "dueling-dqn"
METADATA_KEY = "weakspot"

NetworkSize = Literal["nature", "compact", "small"]

CONVOLUTIONS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "nature": ((32, 8, 4), (64, 4, 2), (64, 3, 1)),
    "compact": ((16, 8, 4), (32, 4, 2)),
    "small": ((16, 8, 4), (32, 4, 2), (64, 3, 2)),
}
"""Convolutions of each network as (filters, kernel size, stride): Mnih et al. 2015, Mnih et al. 2013, and one whose third
convolution leaves the dueling head a tenth of the weights to read and write at each update."""

HIDDEN: dict[str, int] = {"nature": 512, "compact": 256, "small": 128}
"""Units in the hidden layer of each stream of the dueling head."""


def convolution_layers(channels: int, network: NetworkSize) -> nn.Sequential:
    """The convolutions of a network, a ReLU after each, flattened."""
    layers: list[nn.Module] = []
    for filters, kernel, stride in CONVOLUTIONS[network]:
        layers += [nn.Conv2d(channels, filters, kernel, stride), nn.ReLU()]
        channels = filters
    return nn.Sequential(*layers, nn.Flatten())


class DuelingNetwork(nn.Module):
    """Maps observations (b, c, h, w) in 0 to 255 to Q-values (b, a).

    Args:
        actions: number of actions.
        network: its size.
        observation_shape: (c, h, w).
    """

    def __init__(
        self, actions: int, network: NetworkSize = "nature", observation_shape: tuple[int, int, int] = (4, 84, 84)
    ) -> None:
        super().__init__()
        self.convolutions = convolution_layers(observation_shape[0], network)
        with torch.no_grad():
            features = self.convolutions(torch.zeros(1, *observation_shape)).shape[1]
        hidden = HIDDEN[network]
        self.value_stream = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.advantage_stream = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, actions))

    def forward(self, observation: Tensor) -> Tensor:
        features = self.convolutions(observation / 255.0)
        advantage = self.advantage_stream(features)
        return self.value_stream(features) + advantage - advantage.mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class Card:
    """What an agent file says about its agent.

    Attributes:
        name: for people.
        environment: id of the environment it was trained on.
        network: size of the network.
        actions: what each Q-value stands for.
        observation_shape: (c, h, w).
        preprocessing: how observations come about.
        training: algorithm, settings, seed, decisions, the exact command, and which policy of the training this is.
        score: mean, standard deviation, and how they were measured.
        versions: of the libraries it was trained with.
        kind, format: which code reads the file.
    """

    name: str
    environment: str
    network: NetworkSize
    actions: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    preprocessing: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    score: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    kind: str = KIND
    format: int = FORMAT


def export(weights: Mapping[str, Tensor], card: Card, path: Path) -> None:
    """Writes an agent file atomically, the weights as float16.

    Args:
        weights: the state dict of a :class:`DuelingNetwork` as the card describes it.
        card: what to say about it.
        path: the file, ``*.safetensors``.

    Raises:
        WeightsError: the weights are not those of the card's network, or are not finite as float16.
        StorageError: the file cannot be written.
    """
    half = {name: tensor.detach().cpu().half().contiguous() for name, tensor in weights.items()}
    fill(_network(card), {name: tensor.float() for name, tensor in half.items()}, "the weights to be exported")
    metadata = {METADATA_KEY: json.dumps(asdict(card), allow_nan=False)}
    write_atomic(path, lambda temporary: save_file(half, temporary, metadata))


def load(path: Path, *, device: torch.device | str = "cpu") -> ModuleAgent:
    """The agent in a file that :func:`export` wrote, computing in float32.

    Raises:
        WeightsError: the file is missing, damaged, or not one of these.
    """
    weights, metadata = read_weights(path)
    return from_weights(path, weights, read_card(metadata, str(path)), device=device)


def from_weights(
    path: Path, weights: Mapping[str, Tensor], card: Card, *, device: torch.device | str = "cpu"
) -> ModuleAgent:
    """The agent that a card describes, with these weights; ``path`` is named in errors."""
    network = _network(card)
    fill(network, weights, str(path))
    spec = AgentSpec(
        name=card.name,
        environment=card.environment,
        action_names=card.actions,
        observation_shape=card.observation_shape,
        scores_are="q-values",
        acts="greedy",
        fingerprint=fingerprint(network),
    )
    return ModuleAgent(network, spec, torch.device(device))


def read_card(metadata: Mapping[str, str], source: str) -> Card:
    """The card in a file's metadata; ``source`` is named in errors.

    Raises:
        WeightsError: there is none, it is damaged, or of another kind or version.
    """
    if METADATA_KEY not in metadata:
        raise WeightsError(
            f"{source} carries no agent card; its metadata has {listed(metadata)}",
            expected=f"a JSON card under {METADATA_KEY!r}",
            todo="export the agent with weakspot, or load it through path.py:factory",
        )
    try:
        content = json.loads(metadata[METADATA_KEY])
        kind, version = content["kind"], content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(source, error) from error
    if kind != KIND or version != FORMAT:
        raise WeightsError(
            f"{source} holds an agent of kind {kind!r}, format {version!r}",
            expected=f"kind {KIND!r}, format {FORMAT}",
            todo="use the version of weakspot that wrote it, or a newer one",
        )
    try:
        known = {f.name for f in fields(Card)}
        card = Card(**{key: value for key, value in content.items() if key in known})
        if card.network not in get_args(NetworkSize):
            raise ValueError(f"network {card.network!r}")
        actions = tuple(str(action) for action in card.actions)
        channels, height, width = (int(size) for size in card.observation_shape)
    except (TypeError, ValueError) as error:
        raise _damaged(source, error) from error
    return Card(**{**asdict(card), "actions": actions, "observation_shape": (channels, height, width)})


def _network(card: Card) -> DuelingNetwork:
    with unfilled():
        return DuelingNetwork(len(card.actions), card.network, card.observation_shape)


def _damaged(source: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"the agent card of {source} is damaged: {error}",
        expected=f"the fields {listed(f.name for f in fields(Card))}",
        todo="export the agent again",
    )

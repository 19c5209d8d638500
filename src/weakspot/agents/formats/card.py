"""The file format of the agents that this package trains.

An agent is one safetensors file: the weights as float16, and in the metadata, under ``weakspot``, a JSON card with
all that is needed to rebuild the agent and to know how good it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from weakspot.agents.base import ScoresAre
from weakspot.agents.fitting import agent_around
from weakspot.agents.module import ModuleAgent
from weakspot.agents.networks.convolutions import NetworkSize
from weakspot.agents.networks.dueling import DuelingNetwork
from weakspot.agents.networks.policy import PolicyNetwork
from weakspot.agents.tensors.weights import fill, listed, unfilled
from weakspot.errors import WeightsError
from weakspot.interface import Interface
from weakspot.system.files import write_atomic

FORMAT = 1
"""Version of the file format; a file of a newer one is refused."""

METADATA_KEY = "weakspot"


@dataclass(frozen=True)
class Kind:
    """A kind of agent.

    Attributes:
        network: makes its network out of the number of actions, the size, and the shape of observations.
        scores_are: what its scores are.
    """

    network: Callable[[int, NetworkSize, tuple[int, int, int]], nn.Module]
    scores_are: ScoresAre


KINDS = {"dueling-dqn": Kind(DuelingNetwork, "q-values"), "actor-critic": Kind(PolicyNetwork, "log-probabilities")}


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
        kind: which of :data:`KINDS` it is.
        format: version of the file.
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
    kind: str = "dueling-dqn"
    format: int = FORMAT


def export(weights: Mapping[str, Tensor], card: Card, path: Path) -> None:
    """Writes an agent file atomically, the weights as float16.

    Args:
        weights: the state dict of the network that the card describes.
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


def from_weights(
    path: Path, weights: Mapping[str, Tensor], card: Card, *, device: torch.device | str = "cpu"
) -> ModuleAgent:
    """The agent that a card describes, with these weights; ``path`` is named in errors."""
    network = _network(card)
    fill(network, weights, str(path))
    fits = Interface(card.environment, card.actions, card.observation_shape)
    return agent_around(network, fits, card.name, KINDS[card.kind].scores_are, device)


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
    if not isinstance(kind, str) or kind not in KINDS or version != FORMAT:
        raise WeightsError(
            f"{source} holds an agent of kind {kind!r}, format {version!r}",
            expected=f"kind {' or '.join(KINDS)}, format {FORMAT}",
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


def _network(card: Card) -> nn.Module:
    if card.kind not in KINDS:
        raise WeightsError(f"an agent of kind {card.kind!r}", expected=" or ".join(KINDS), todo="name one of these kinds")
    with unfilled():
        return KINDS[card.kind].network(len(card.actions), card.network, card.observation_shape)


def _damaged(source: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"the agent card of {source} is damaged: {error}",
        expected=f"the fields {listed(f.name for f in fields(Card))}",
        todo="export the agent again",
    )

"""The file format of the agents that this package trains.

An agent is one safetensors file: the weights as float16, and in the metadata, under ``weakspot``, a JSON card with all that
is needed to rebuild the agent and to know how well it plays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from weakspot.agents import zoo
from weakspot.agents.base import Agent, ScoresAre
from weakspot.agents.build import NetworkAgent, make_agent
from weakspot.agents.formats.card_record import METADATA_KEY, Card, read_card
from weakspot.agents.networks.dueling import DuelingNetwork
from weakspot.agents.networks.policy import PolicyNetwork
from weakspot.agents.networks.sizes import NetworkSize
from weakspot.agents.tensors.header import read_header
from weakspot.agents.tensors.weights import build_for, load_into, preserve_random_state, read_weights
from weakspot.errors import WeightsError
from weakspot.interface import Interface
from weakspot.system.files import write_bytes


@dataclass(frozen=True)
class Kind:
    """A kind of agent.

    Attributes:
        network: builds its network from the number of actions, the size, and the shape of observations.
        scores_are: what its scores are.
    """

    network: Callable[[int, NetworkSize, tuple[int, int, int]], nn.Module]
    scores_are: ScoresAre


KINDS = {"dueling-dqn": Kind(DuelingNetwork, "q-values"), "actor-critic": Kind(PolicyNetwork, "log-probabilities")}
"""The kinds by the names of :data:`~weakspot.agents.formats.card_record.AgentKind`."""


class CardFormat:
    """A safetensors file with a card, or the name of an agent that ships with the package."""

    name = "card"

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether it is a name of the zoo, or a file whose header has a card."""
        path = Path(reference).expanduser()
        if path.is_file():
            with suppress(WeightsError):
                return METADATA_KEY in read_header(path).metadata
        return zoo.find(reference) is not None

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Loads the agent that the card describes; the card names the environment.

        Raises:
            WeightsError: the file or its card is damaged, or the weights belong to another network.
        """
        path = zoo.find(reference) or Path(reference).expanduser()
        weights, metadata = read_weights(path)
        return from_weights(path, weights, read_card(metadata, str(path)), device=device)


FORMAT = CardFormat()


def export(weights: Mapping[str, Tensor], card: Card, path: Path) -> None:
    """Writes an agent file atomically, the weights as float16.

    Args:
        weights: the state dict of the network that the card describes.
        card: describes the agent.
        path: of the new file, ``*.safetensors``.

    Raises:
        WeightsError: the weights belong to another network, or are not finite as float16.
        StorageError: the file cannot be written.
    """
    half = {name: tensor.detach().cpu().half().contiguous() for name, tensor in weights.items()}
    load_into(_network(card), {name: tensor.float() for name, tensor in half.items()}, "the state dict to be exported")
    write_bytes(path, save(half, {METADATA_KEY: json.dumps(asdict(card), allow_nan=False)}))


def from_weights(
    path: Path, weights: Mapping[str, Tensor], card: Card, *, device: torch.device | str = "cpu"
) -> NetworkAgent:
    """Returns the agent that a card describes.

    Args:
        path: the file, for error messages.
        weights: of the card's network.
        card: describes the agent.
        device: where to compute.

    Raises:
        WeightsError: the weights belong to another network.
    """
    network = build_for(lambda: _network(card), weights, str(path))
    interface = Interface(card.environment, card.actions, card.observation_shape)
    return make_agent(network, interface, card.name, KINDS[card.kind].scores_are, device)


def _network(card: Card) -> nn.Module:
    if card.kind not in KINDS:
        raise WeightsError(
            f"unknown kind of agent {card.kind!r}", expected=" or ".join(KINDS), todo="give one of these kinds"
        )
    with preserve_random_state():
        return KINDS[card.kind].network(len(card.actions), card.network, card.observation_shape)

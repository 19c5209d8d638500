"""The card of an agent file: what the file says about its agent (without torch).

See :mod:`weakspot.agents.formats.card` for the file as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias, get_args

from weakspot.agents.listing import join_names
from weakspot.agents.networks.sizes import NetworkSize
from weakspot.errors import WeightsError

VERSION = 1
"""Version of the file format; files of any other version raise an error."""

METADATA_KEY = "weakspot"
"""Key of the card in the metadata of the safetensors file."""

AgentKind: TypeAlias = Literal["dueling-dqn", "actor-critic"]
"""The kinds of agents that this package trains."""


@dataclass(frozen=True)
class Card:
    """What an agent file says about its agent.

    Attributes:
        name: a readable name.
        environment: id of the environment it was trained on.
        network: size of the network.
        actions: names of the actions, one for each score.
        observation_shape: (c, h, w).
        preprocessing: how observations are made from frames.
        training: algorithm, settings, seed, decisions, the exact command, and which policy of the training this is.
        score: mean, standard deviation, and how they were measured.
        versions: versions of the libraries it was trained with.
        kind: one of :data:`AgentKind`.
        format: version of the file format.
    """

    name: str
    environment: str
    network: NetworkSize
    actions: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    preprocessing: dict[str, Any] = field(default_factory=dict[str, Any])
    training: dict[str, Any] = field(default_factory=dict[str, Any])
    score: dict[str, Any] = field(default_factory=dict[str, Any])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    kind: str = "dueling-dqn"
    format: int = VERSION


def read_card(metadata: Mapping[str, str], source: str) -> Card:
    """Reads the card from the metadata of a safetensors file.

    Args:
        metadata: of the file.
        source: path of the file, for error messages.

    Raises:
        WeightsError: there is no card, or it is damaged, of an unknown kind, or of another version.
    """
    if METADATA_KEY not in metadata:
        raise WeightsError(
            f"{source} has no agent card; its metadata has {join_names(metadata)}",
            expected=f"a JSON card under {METADATA_KEY!r}",
            todo="export the agent with weakspot, or load it through path.py:factory",
        )
    try:
        content = json.loads(metadata[METADATA_KEY])
        kind, version = content["kind"], content["format"]
        check_plain(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(source, error) from error
    kinds = get_args(AgentKind)
    if kind not in kinds or version != VERSION:
        raise WeightsError(
            f"{source} holds an agent of kind {kind!r}, format {version!r}",
            expected=f"kind {' or '.join(kinds)}, format {VERSION}",
            todo="use the version of weakspot that wrote the file, or a newer one",
        )
    try:
        return _card(content)
    except (TypeError, ValueError, OverflowError) as error:
        raise _damaged(source, error) from error


TYPES = {"name": str, "environment": str, "preprocessing": dict, "training": dict, "score": dict, "versions": dict}
"""Types of entries of a card in JSON that are used as they are."""


def check_plain(content: object) -> None:
    """Raises ValueError if JSON holds NaN, infinity, or text that is not UTF-8, which could not be recorded."""
    json.dumps(content, allow_nan=False, ensure_ascii=False).encode()


def _card(content: Mapping[str, Any]) -> Card:
    """The card with these entries; entries of unknown names are ignored."""
    known = {entry.name for entry in fields(Card)}
    for name, kind in TYPES.items():
        if name in content and not isinstance(content[name], kind):
            raise TypeError(f"{name} is not of type {kind.__name__}")
    card = Card(**{key: value for key, value in content.items() if key in known})
    if card.network not in get_args(NetworkSize):
        raise ValueError(f"network {card.network!r}")
    actions = tuple(str(action) for action in card.actions)
    channels, height, width = (int(size) for size in card.observation_shape)
    return replace(card, actions=actions, observation_shape=(channels, height, width))


def _damaged(source: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"the agent card of {source} is damaged: {error}",
        expected=f"the fields {join_names(entry.name for entry in fields(Card))}",
        todo="export the agent again",
    )

"""The agent that a training starts from: its weights, and how it was trained, for the card of the new agent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from weakspot.agents.formats.card import read_card
from weakspot.agents.tensors.weights import read_weights
from weakspot.errors import MismatchError, RunError
from weakspot.system.files import write_json
from weakspot.system.provenance import file_digest

FILE = "start.json"


@dataclass(frozen=True)
class Start:
    """How the weights of an agent file were trained.

    Attributes:
        digest: of the agent file.
        command: of its training.
        decisions: number of decisions of its training, and of the trainings that this one started from.
        cpu_hours: of all these trainings; None if any of them is not known.
        start: the same fields for the agent that its own training started from, or None.
    """

    digest: str
    command: str
    decisions: int
    cpu_hours: float | None
    start: dict[str, Any] | None


def read_start(path: Path, environment: str) -> tuple[dict[str, Tensor], Start]:
    """The weights of an agent file, and how they were trained.

    Raises:
        WeightsError: the file cannot be read, or has no card.
        MismatchError: the agent was trained on another environment.
    """
    weights, metadata = read_weights(path)
    card = read_card(metadata, str(path))
    if card.environment != environment:
        raise MismatchError(
            f"the agent in {path} was trained on {card.environment}",
            expected=f"an agent trained on {environment}",
            todo="start from another agent, or train on its environment",
        )
    earlier = card.training.get("start")
    return weights, Start(file_digest(path), str(card.training.get("command")), *training_cost(card.training), earlier)


def training_cost(training: Mapping[str, Any]) -> tuple[int, float | None]:
    """Decisions and CPU hours of the training on a card, including the trainings that it started from; the hours are None if
    any of them is not known."""
    earlier, hours = training.get("start"), training.get("cpu_hours")
    known = training.get("settings", {}).get("start") is None or earlier is not None
    decisions = int(training.get("policy_steps", 0)) + (earlier["decisions"] if earlier else 0)
    if not known or hours is None or (earlier and earlier["cpu_hours"] is None):
        return decisions, None
    return decisions, round(hours + (earlier["cpu_hours"] if earlier else 0.0), 2)


def store_start(folder: Path, start: Start) -> None:
    """Stores ``start`` in the folder of the training, because the agent file may change before the training ends."""
    write_json(folder / FILE, asdict(start))


def stored_start(folder: Path) -> dict[str, Any] | None:
    """What :func:`store_start` stored; None if the training started from random weights.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(
            f"cannot read {folder / FILE}: {error}",
            expected="the record of the agent that the training started from",
            todo="restart the training in a new folder",
        ) from error

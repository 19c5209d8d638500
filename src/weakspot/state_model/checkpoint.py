"""Checkpoints of the training of a state model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weakspot.errors import StateModelError
from weakspot.state_model.feeder import Feeder


class TrainingState:
    """Where a training stands."""

    def __init__(self) -> None:
        self.step = 0
        self.seconds = 0.0
        self.last: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        self._count = 0

    def used(self, steps: int, seconds: float) -> float:
        return self.step / steps if steps > 0 else self.seconds / seconds

    def add(self, parts: list[dict[str, float]]) -> None:
        self.last = {name: sum(part[name] for part in parts) for name in parts[0]}
        for name, value in self.last.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def terms(self) -> dict[str, float]:
        """Means of the terms since the last call."""
        means = {name: total / self._count for name, total in self._sums.items()} if self._count else {}
        self._sums, self._count = {}, 0
        return means


def checkpoint_content(
    network: nn.Module, optimizer: torch.optim.Optimizer, feeder: Feeder, state: TrainingState
) -> dict[str, Any]:
    """What a checkpoint holds: tensors and numbers only."""
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "order": json.dumps(feeder.order.bit_generator.state),
        "noise": feeder.noise.get_state(),
    }


def restore_checkpoint(
    path: Path, made_of: str, network: nn.Module, optimizer: torch.optim.Optimizer, feeder: Feeder, state: TrainingState
) -> bool:
    """Goes on from the checkpoint; False if it was made of other data or settings."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        if stored["made_of"] != made_of:
            return False
        network.load_state_dict(stored["network"])
        optimizer.load_state_dict(stored["optimizer"])
        feeder.order.bit_generator.state = json.loads(stored["order"])
        feeder.noise.set_state(stored["noise"])
        state.step, state.seconds = stored["step"], stored["seconds"]
    except Exception as error:
        raise StateModelError(
            f"{path} cannot be read as a checkpoint of this training: {error}",
            expected="a checkpoint written by the same command",
            todo=f"delete {path} to start the training anew",
        ) from error
    return True


def stored_origin(path: Path) -> str | None:
    """What the finished training whose description stands at ``path`` was made of, if one stands there."""
    try:
        return json.loads(path.read_text()).get("made_of")
    except (OSError, ValueError):
        return None

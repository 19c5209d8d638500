"""Artifacts of the train stage beside the weights: the description of the state model, and the curves of its training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from weakspot.artifacts.schema import damaged, read_bytes
from weakspot.errors import RunError

MODEL, WEIGHTS, CURVES = "model.json", "model.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class Curve:
    """One logged quantity: steps (n,) and values (n,), only where it was logged and finite."""

    name: str
    steps: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ModelRecord:
    """``model.json``, which :func:`weakspot.state_model.train.train` writes: the trained state model.

    Attributes:
        recipe: its name.
        latent: z, the dimensions of the latent space.
        parameters: of its networks.
        steps, seconds: of the training.
        equation: its loss, for people.
        settings: of the recipe.
    """

    recipe: str
    latent: int
    parameters: int
    steps: int
    seconds: float
    equation: str
    settings: dict[str, Any]


def read_model(folder: Path) -> ModelRecord:
    """Reads the description; raises :class:`RunError` if it is damaged."""
    path = folder / MODEL
    try:
        return msgspec.json.decode(read_bytes(path), type=ModelRecord)
    except (msgspec.DecodeError, RecursionError) as error:
        raise damaged(path, str(error), "the description of a state model as JSON") from error


def read_curves(folder: Path) -> tuple[Curve, ...]:
    """Reads the curves, none if there is no file; a last line that a kill cut short is left out.

    Raises:
        RunError: another line is damaged.
    """
    path = folder / CURVES
    if not path.exists():
        return ()
    points: dict[str, list[tuple[float, float]]] = {}
    lines = [line for line in read_bytes(path).splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            record = _record(path, line)
        except RunError:
            if number == len(lines):
                continue
            raise
        for name, value in record.items():
            if name not in ("step", "seconds") and _finite(value):
                points.setdefault(name, []).append((float(record["step"]), float(value)))
    curves: list[Curve] = []
    for name, pairs in points.items():
        steps, values = np.array(sorted(pairs)).T
        curves.append(Curve(name, steps, values))
    return tuple(curves)


def _record(path: Path, line: bytes) -> dict[str, Any]:
    """One line of the file, with a finite number ``step``."""
    again = "make the report again; it then shows no curves of the training"
    try:
        record = msgspec.convert(json.loads(line), dict[str, Any])
    except (ValueError, msgspec.ValidationError) as error:
        raise damaged(path, str(error), "one JSON object a line", again) from error
    if not _finite(record.get("step")):
        raise damaged(path, f"a line has the step {record.get('step')!r}", "a finite number 'step' in every line", again)
    return record


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))

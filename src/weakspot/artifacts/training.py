"""Artifacts of the train stage, besides the weights: the description of the state model, and its training curves."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from weakspot.artifacts.schema import check_fields, check_schema, damaged, decode, read_bytes, write_fields
from weakspot.errors import RunError
from weakspot.system.metrics import read_line

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MODEL, WEIGHTS, CURVES = "model.json", "model.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class Curve:
    """One logged quantity: steps (n,) and values (n,), without values that are not finite."""

    name: str
    steps: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ModelRecord:
    """The trained state model.

    Attributes:
        recipe: name of its recipe.
        latent: z, the dimension of the latent space.
        parameters: number of parameters of its networks.
        steps, seconds: of the training.
        equation: its loss, as in the report.
        settings: of the recipe.
    """

    SCHEMA: ClassVar[int] = 1
    recipe: str
    latent: int
    parameters: int
    steps: int
    seconds: float
    equation: str
    settings: dict[str, Any]


class _Version(msgspec.Struct):
    schema: int = 1  # missing in files that the training wrote without :func:`write_model`


def write_model(folder: Path, info: Mapping[str, Any]) -> None:
    """Writes the description of a state model: the fields of :class:`ModelRecord`, and further ones about its training.

    Raises:
        RunError: a field is missing, has another type, is NaN or infinite.
        StorageError: the file cannot be written.
    """
    path = folder / MODEL
    check_fields(path, info, ModelRecord)
    write_fields(path, {"schema": ModelRecord.SCHEMA, **info})


def read_model(folder: Path) -> ModelRecord:
    """Reads the description.

    Raises:
        SchemaError: a newer version of weakspot wrote it.
        RunError: it is missing or damaged.
    """
    path = folder / MODEL
    content = read_bytes(path)
    check_schema(path, decode(path, content, _Version).schema, ModelRecord)
    return decode(path, content, ModelRecord)


def read_curves(folder: Path) -> tuple[Curve, ...]:
    """Reads the curves; empty if there is no file. Skips an incomplete last line, as a kill leaves it.

    Raises:
        RunError: any other line is damaged.
    """
    import numpy as np

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
    """One line of the file; raises :class:`RunError` unless its ``step`` is a finite number."""
    again = "run the same command again; the report then shows no curves of the training"
    try:
        record = read_line(line)
    except ValueError as error:
        raise damaged(path, str(error), "one JSON object a line", again) from error
    if not _finite(record.get("step")):
        raise damaged(path, f"a line has the step {record.get('step')!r}", "a finite number 'step' in every line", again)
    return record


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max

"""What the training of a state model stores in its folder, and how a later call resumes from it.

``checkpoint.pt`` holds the training of the network (tensors and plain data only) and ``prior.pt`` that of the flow;
``metrics.jsonl`` the loss terms and measurements; ``model.safetensors`` and ``model.json`` the finished model.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from weakspot.artifacts.training import write_model
from weakspot.errors import LeftoverError, WeakspotError
from weakspot.state_model.batch import DataStatistics
from weakspot.state_model.model import SECONDS, StateModel, load, save
from weakspot.state_model.setup import TrainingSetup
from weakspot.state_model.trainer import TermMeans
from weakspot.system.files import raise_unless_damage
from weakspot.system.metrics import drop_metrics_after
from weakspot.system.provenance import full_file_digest
from weakspot.system.training_loop import TrainingLoop

CHECKPOINT, PRIOR_CHECKPOINT, METRICS = "checkpoint.pt", "prior.pt", "metrics.jsonl"
WEIGHTS, INFO = "model.safetensors", "model.json"


def resume(loop: TrainingLoop, terms: TermMeans, metrics: Path) -> None:
    """Resumes from the checkpoint of ``loop``, and drops the metrics that were written after it.

    ``terms`` are those of the trainer of ``loop``, which know how many lines there were.

    A checkpoint of other data or settings is deleted, together with its metrics.

    Raises:
        LeftoverError: the checkpoint or the metrics are damaged.
        StorageError: the checkpoint cannot be read.
    """
    path = loop.checkpoint.path
    content = read_checkpoint(loop)
    if content is None and path.exists():
        path.unlink()
        metrics.unlink(missing_ok=True)
    drop_metrics_after(metrics, loop.steps, terms.lines)


def read_checkpoint(loop: TrainingLoop) -> dict[str, Any] | None:
    """Reads the checkpoint of ``loop`` and restores it; returns its content, None if there is none of this training.

    Raises:
        LeftoverError: it is damaged.
        StorageError: it cannot be read.
    """
    path = loop.checkpoint.path
    try:
        content = loop.checkpoint.read()
        if content is not None:
            loop.load_state_dict(content)
    except WeakspotError:
        raise
    except Exception as error:  # torch raises many types for damaged files
        raise_unless_damage(path, error)
        raise LeftoverError(
            f"{path} cannot be read as a checkpoint of this training: {error}",
            expected="a checkpoint written by the same command",
            todo=f"delete {path} to restart the training",
        ) from error
    return content


def finished_model(folder: Path, setup: TrainingSetup) -> StateModel | None:
    """The model in ``folder`` if it is the finished result of this training, else None."""
    weights, info = folder / WEIGHTS, _stored_info(folder / INFO)
    try:
        if info.get("made_of") != setup.model_digest or info.get("weights") != full_file_digest(weights):
            return None  # the weights are damaged, or a kill came between the two files
        model = load(weights, setup.device, setup.precision, setup.recipe)
        return replace(model, info={**info, **model.info} | {name: info[name] for name in info.keys() & {SECONDS, "flow"}})
    except FileNotFoundError:
        return None


def store_model(model: StateModel, statistics: DataStatistics, folder: Path) -> None:
    """Writes the finished model, and its description with the digest of the weights."""
    save(model, statistics, folder / WEIGHTS)
    write_model(folder, {**model.info, "weights": full_file_digest(folder / WEIGHTS)})


def _stored_info(path: Path) -> dict[str, Any]:
    """The description of a model in the file ``path``; empty if the file is missing or damaged."""
    try:
        info = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", info) if isinstance(info, dict) else {}

"""What the training of a state model stores in its folder, and how a later call resumes from it.

``checkpoint.pt`` holds the training of the network (tensors and plain data only) and ``prior.pt`` that of the flow;
``metrics.jsonl`` the loss terms and measurements; ``model.safetensors`` and ``model.json`` the finished model.
"""

from __future__ import annotations

import json
from pathlib import Path

from weakspot.artifacts.training import write_model
from weakspot.errors import StateModelError
from weakspot.state_model.batch import DataStatistics
from weakspot.state_model.model import StateModel, load, save
from weakspot.state_model.setup import TrainingSetup
from weakspot.system.metrics import drop_metrics_after
from weakspot.system.training_loop import TrainingLoop

CHECKPOINT, PRIOR_CHECKPOINT, METRICS = "checkpoint.pt", "prior.pt", "metrics.jsonl"
WEIGHTS, INFO = "model.safetensors", "model.json"


def resume(loop: TrainingLoop, metrics: Path) -> None:
    """Resumes from the checkpoint of ``loop``, and drops the metrics that were written after it.

    A checkpoint of other data or settings is deleted, together with its metrics.

    Raises:
        StateModelError: the checkpoint is damaged.
    """
    path = loop.checkpoint.path
    try:
        content = loop.checkpoint.read()
        if content is not None:
            loop.load_state_dict(content)
    except Exception as error:  # torch raises many types for damaged files
        raise StateModelError(
            f"{path} cannot be read as a checkpoint of this training: {error}",
            expected="a checkpoint written by the same command",
            todo=f"delete {path} to restart the training",
        ) from error
    if content is None and path.exists():
        path.unlink()
        metrics.unlink(missing_ok=True)
    drop_metrics_after(metrics, loop.steps)


def finished_model(folder: Path, setup: TrainingSetup) -> StateModel | None:
    """The model in ``folder`` if it is the finished result of this training, else None."""
    weights = folder / WEIGHTS
    if not weights.exists() or _stored_origin(folder / INFO) != setup.model_digest:
        return None
    model = load(weights, setup.device, setup.precision, setup.recipe)
    return model if model.info["made_of"] == setup.model_digest else None  # a kill may have come between the two files


def store_model(model: StateModel, statistics: DataStatistics, folder: Path) -> None:
    """Writes the finished model and its description."""
    save(model, statistics, folder / WEIGHTS)
    write_model(folder, model.info)


def _stored_origin(path: Path) -> str | None:
    """The digest ``made_of`` of the model that the file ``path`` describes; None if the file is missing or damaged."""
    try:
        return json.loads(path.read_text()).get("made_of")
    except (OSError, ValueError):
        return None

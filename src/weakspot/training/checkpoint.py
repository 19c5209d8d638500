"""The checkpoints of an agent's training.  They hold tensors and plain data only, so reading them runs no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from weakspot.errors import RunError
from weakspot.system.training_loop import load_checkpoint, store_checkpoint
from weakspot.training.algorithms import Algorithm

LAST, BEST = "checkpoint.pt", "best.pt"
"""Files in the folder of a training: the checkpoint it resumes from, and the policy with the best evaluation."""
METRICS = "metrics.jsonl"
"""One line for each evaluation."""
PARTS = ("policy", "kept", "optimizer", "steps", "score", "counters", "cpu_seconds", "resumed_at", "torch_rng", "numpy_rng")
"""The keys of the first file, with ``kept`` for the network that is exported; the second file has those of
:data:`OF_A_POLICY`."""
OF_A_POLICY = ("kept", "steps", "score")


def checkpoint_of(
    model: BaseAlgorithm, algorithm: Algorithm, cpu_seconds: float, score: float | None, resumed_at: list[int]
) -> dict[str, Any]:
    """Everything that a training resumes from.

    Args:
        model: the model in training.
        algorithm: its algorithm.
        cpu_seconds: processor time of the training so far.
        score: of the current policy, or None if it has not been evaluated.
        resumed_at: decisions after which the training has been resumed.
    """
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple)
    return {
        "policy": model.policy.state_dict(),
        "kept": algorithm.exported_network(model).state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "steps": model.num_timesteps,
        "score": score,
        "counters": {name: getattr(model, name) for name in algorithm.counters},
        "cpu_seconds": cpu_seconds,
        "resumed_at": resumed_at,
        "torch_rng": torch.get_rng_state(),
        "numpy_rng": [torch.as_tensor(state[1].astype(np.int64)), int(state[2]), int(state[3]), float(state[4])],
    }


def restore(model: BaseAlgorithm, algorithm: Algorithm, checkpoint: dict[str, Any]) -> None:
    """Restores a checkpoint into a model that was built from the same settings, and into the global random generators."""
    model.policy.load_state_dict(checkpoint["policy"])
    algorithm.exported_network(model).load_state_dict(checkpoint["kept"])
    model.policy.optimizer.load_state_dict(checkpoint["optimizer"])
    for name in algorithm.counters:
        setattr(model, name, checkpoint["counters"][name])
    torch.set_rng_state(checkpoint["torch_rng"].cpu())
    keys, position, has_gauss, cached = checkpoint["numpy_rng"]
    np.random.set_state(("MT19937", keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))


def store(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Writes the checkpoint, and its policy to :data:`BEST` if its evaluation is the best so far."""
    store_checkpoint(folder / LAST, checkpoint)
    store_if_best(folder, checkpoint)


def store_if_best(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Writes the policy of a checkpoint to :data:`BEST` if it was evaluated and its evaluation is the best so far."""
    path = folder / BEST
    if checkpoint["score"] is None:
        return
    if not path.exists() or read_checkpoint(path, keys=OF_A_POLICY)["score"] < checkpoint["score"]:
        store_checkpoint(path, {name: checkpoint[name] for name in OF_A_POLICY})


def read_checkpoint(path: Path, device: str = "cpu", keys: tuple[str, ...] = PARTS) -> dict[str, Any]:
    """Reads one of the two files.

    Raises:
        RunError: it is missing or damaged, or lacks one of the ``keys``.
    """
    todo = f"delete it: without {LAST} the training restarts, without {BEST} the last policy is kept"
    try:
        content = load_checkpoint(path, device)
    except Exception as error:  # torch raises many types for damaged files
        raise RunError(
            f"cannot read the checkpoint {path}: {type(error).__name__}: {error}",
            expected="a checkpoint of the training of an agent",
            todo=todo,
        ) from error
    stored = cast("dict[str, Any]", content if isinstance(content, dict) else {})
    if missing := [name for name in keys if name not in stored]:
        raise RunError(f"{path} has no {', '.join(missing)}", expected="what the training of an agent stores", todo=todo)
    return stored

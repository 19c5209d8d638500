"""What a training stores so that it can go on after a kill: tensors and numbers only, so that reading it runs no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from weakspot.errors import RunError
from weakspot.system.files import write_atomic
from weakspot.training.algorithms import Algorithm

LAST, BEST = "checkpoint.pt", "best.pt"
"""Files of a training's folder: all that it goes on from, and the policy that was evaluated best."""
PARTS = ("policy", "kept", "optimizer", "steps", "score", "counters", "cpu_seconds", "resumed_at", "torch_rng", "numpy_rng")
"""Of the first of them; of the other, those that :data:`OF_A_POLICY` names."""
OF_A_POLICY = ("kept", "steps", "score")


def checkpoint_of(
    model: BaseAlgorithm, algorithm: Algorithm, cpu_seconds: float, score: float | None, resumed_at: list[int]
) -> dict[str, Any]:
    """Everything to go on from.

    Args:
        model: as it stands.
        algorithm: its kind.
        cpu_seconds: of the training until now.
        score: of its policy, where that was evaluated as it stands.
        resumed_at: decisions at which the training has been resumed.
    """
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple)
    return {
        "policy": model.policy.state_dict(),
        "kept": algorithm.kept(model).state_dict(),
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
    """Puts it back into a model that was built by the same settings, and into the global random generators."""
    model.policy.load_state_dict(checkpoint["policy"])
    algorithm.kept(model).load_state_dict(checkpoint["kept"])
    model.policy.optimizer.load_state_dict(checkpoint["optimizer"])
    for name in algorithm.counters:
        setattr(model, name, checkpoint["counters"][name])
    torch.set_rng_state(checkpoint["torch_rng"].cpu())
    keys, position, has_gauss, cached = checkpoint["numpy_rng"]
    np.random.set_state(("MT19937", keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))


def store(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Writes it, and its policy beside it where no one before had a better evaluation."""
    write_atomic(folder / LAST, lambda path: torch.save(checkpoint, path))
    keep_if_best(folder, checkpoint)


def keep_if_best(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Stores the policy of a checkpoint, if it was evaluated, and none before had a better evaluation."""
    path = folder / BEST
    if checkpoint["score"] is None:
        return
    if not path.exists() or read_checkpoint(path, holds=OF_A_POLICY)["score"] < checkpoint["score"]:
        best = {name: checkpoint[name] for name in OF_A_POLICY}
        write_atomic(path, lambda temporary: torch.save(best, temporary))


def read_checkpoint(path: Path, device: str = "cpu", holds: tuple[str, ...] = PARTS) -> dict[str, Any]:
    """One of the two files.

    Raises:
        RunError: it is missing or damaged, or something that it ``holds`` is missing.
    """
    todo = f"delete it: without {LAST} the training starts anew, without {BEST} the last policy is kept"
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many types for damaged files
        raise RunError(
            f"cannot read the checkpoint {path}: {type(error).__name__}: {error}",
            expected="a checkpoint that the training of an agent wrote",
            todo=todo,
        ) from error
    if missing := [name for name in holds if not isinstance(content, dict) or name not in content]:
        raise RunError(f"{path} has no {', '.join(missing)}", expected="what the training of an agent stores", todo=todo)
    return content

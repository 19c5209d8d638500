"""Stage: synthesise states for each target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from weakspot.agents.base import Perceiver
from weakspot.artifacts.arrays import write_arrays
from weakspot.data.dataset import as_stacks
from weakspot.errors import RunError
from weakspot.saliency.rules import saliency
from weakspot.search.algorithm_1 import Findings
from weakspot.stages.fidelity import saliency_image
from weakspot.system.files import UNREADABLE_ARRAYS


def write_findings(found: Findings, perceive: Perceiver, channels: int, path: Path) -> None:
    """Writes what a search found, frames of ``channels``, with the agent's saliency at each state."""
    arrays: dict[str, Any] = {
        "states": as_stacks(found.state.cpu(), channels),
        "scores": found.output.scores.cpu().numpy(),
        "energy": found.energy,
        "target": found.target.cpu().numpy(),
        "prior_kl": found.kl.cpu().numpy(),
        "iterations": found.iterations,
        "saliency": saliency_image(saliency(perceive, found.state)),
        "latent": found.noise.cpu().numpy(),
        "latent_mean": found.distribution.mean.cpu().numpy(),
        "latent_sigma": found.distribution.sigma.cpu().numpy(),
    }
    if found.output.value is not None:
        arrays["value"] = found.output.value.cpu().numpy()
    write_arrays(path, arrays)


def found_states(path: Path) -> np.ndarray:
    """The states in a file that :func:`write_findings` wrote."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return found["states"]
    except UNREADABLE_ARRAYS as error:
        raise RunError(
            f"{path} cannot be read: {error}",
            expected="states that a search found",
            todo=f"delete {path.parent} and synthesise them again",
        ) from error

"""Saliency maps of a data set, computed once and stored as one ``.npy`` file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from weakspot.agents.base import Perceiver
from weakspot.data.dataset import as_state
from weakspot.data.recall import hidden_of
from weakspot.errors import DatasetError
from weakspot.run.verified import verify_file
from weakspot.saliency.rules import saliency
from weakspot.saliency.weights import encode_maps
from weakspot.system.files import raise_unless_damage, write_atomic


@runtime_checkable
class States(Protocol):
    """The part of a data set that :func:`saliency_maps` uses."""

    def __len__(self) -> int: ...

    def stacks(self, indices: Any) -> np.ndarray:
        """Colour stacks (n, k, h, w, 3), uint8."""
        ...


def saliency_maps(
    perceive: Perceiver,
    dataset: States,
    path: Path,
    *,
    batch_size: int = 64,
    kernel: int = 5,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Computes the map of every state of a data set and stores them in one ``.npy`` file, written atomically.

    Args:
        perceive: the agent behind the observation function.
        dataset: the states; only its length and ``stacks`` are used.
        path: of the file.
        batch_size: number of states per batch.
        kernel: odd size of the averaging box in pixels.
        progress: called with (done, total) after each batch, in states.

    Returns:
        uint8 (n, ceil(h / 2), ceil(w / 2)), memory-mapped; see :func:`~weakspot.saliency.weights.decode_maps`.

    Raises:
        SaliencyError: see :func:`~weakspot.saliency.rules.saliency`.
        DatasetError: there are no states.
        StorageError: the file cannot be written.
    """
    total = len(dataset)
    if total == 0:
        raise DatasetError("there are no states to explain", expected="at least one", todo="collect states first")

    def write(temporary: Path) -> None:
        maps: np.memmap | None = None
        for start in range(0, total, batch_size):
            indices = np.arange(start, min(start + batch_size, total))
            state = as_state(dataset.stacks(indices)).to(perceive.agent.device)
            batch = encode_maps(saliency(perceive.at(hidden_of(dataset, indices)), state), kernel).cpu().numpy()
            if maps is None:
                maps = np.lib.format.open_memmap(temporary, "w+", np.uint8, (total, *batch.shape[1:]))
            maps[indices] = batch
            progress(int(indices[-1]) + 1, total)
        if maps is not None:
            maps.flush()

    write_atomic(path, write)
    return load_maps(path, total)


def load_maps(path: Path, states: int) -> np.ndarray:
    """Reads the maps that :func:`saliency_maps` stored, memory-mapped.

    Raises:
        DatasetError: the file is missing, damaged, or does not have ``states`` maps.
    """
    verify_file(path)
    try:
        maps = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise_unless_damage(path, error)
        raise DatasetError(
            f"cannot read the saliency maps {path}: {error}",
            expected="an .npy file of uint8 maps",
            todo="delete it and compute the maps again",
        ) from error
    if maps.dtype != np.uint8 or maps.ndim != 3 or len(maps) != states:
        raise DatasetError(
            f"{path} holds {maps.dtype} numbers of shape {maps.shape}",
            expected=f"uint8 ({states}, h, w): one map for each state",
            todo="delete it and compute the maps again",
        )
    return maps

"""Artifacts in npz files: named arrays, whose types and shapes are checked as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weakspot.artifacts.schema import damaged
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.system.files import UNREADABLE_ARRAYS, write_atomic

Array = npt.NDArray[Any]


def write_arrays(path: Path, arrays: Mapping[str, Array | None]) -> None:
    """Writes named arrays to a compressed npz file, atomically; leaves out those that are None.

    Raises:
        StorageError: the file cannot be written.
    """
    given: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **given)

    write_atomic(path, write)


class Arrays:
    """The arrays of an npz file.

    Args:
        path: the file.
        environment: decides the shape of frames and the number of actions.
        first: name of the stacks that say how many states, ``n``, the file is about.

    Raises:
        RunError: the file is damaged; so do all methods for an array that is missing or of another type or shape.
    """

    def __init__(self, path: Path, environment: EnvironmentRecord, first: str) -> None:
        self.path, self.environment = path, environment
        try:
            with np.load(path, allow_pickle=False) as archive:
                self._arrays: dict[str, Array] = {name: archive[name] for name in archive.files}
        except UNREADABLE_ARRAYS as error:
            raise damaged(path, str(error), "an npz archive of plain arrays") from error
        self.n = len(self.get(first, np.uint8, 5))

    def __contains__(self, name: str) -> bool:
        """Whether the file has an array of that name."""
        return name in self._arrays

    def get(self, name: str, kind: type[np.generic], dimensions: int) -> Array:
        """The array ``name`` if it is of that kind and has so many dimensions."""
        if name not in self._arrays:
            raise damaged(self.path, f"it has no array {name!r}", f"the array {name!r}")
        array = self._arrays[name]
        if array.ndim != dimensions or not np.issubdtype(array.dtype, kind):
            seen = f"{name!r} is {array.dtype} with shape {array.shape}"
            raise damaged(self.path, seen, f"{dimensions} dimensions of {kind.__name__}")
        return array

    def rows(self, name: str, kind: type[np.generic], dimensions: int) -> Array:
        """The same, with one row for each of the n states."""
        array = self.get(name, kind, dimensions)
        return self._shaped(array, name, (self.n, *array.shape[1:]))

    def stacks(self, name: str, count: int | None = None) -> Array:
        """Stacks of frames (n, k, h, w, c), or ``count`` of them; uint8."""
        spec = self.environment
        count = self.n if count is None else count
        return self._shaped(self.get(name, np.uint8, 5), name, (count, spec.frames, spec.height, spec.width, spec.channels))

    def maps(self, name: str) -> Array:
        """One map a state (n, h, w); uint8."""
        return self._shaped(self.get(name, np.uint8, 3), name, (self.n, self.environment.height, self.environment.width))

    def scores(self, name: str) -> Array:
        """The agent's scores (n, a); float64, minus infinity allowed for a log-probability."""
        array = self._shaped(self.get(name, np.floating, 2), name, (self.n, len(self.environment.action_names)))
        if np.isnan(array).any() or np.isposinf(array).any():
            raise damaged(self.path, f"{name!r} holds NaN or infinity", "finite numbers")
        return array.astype(np.float64)

    def flags(self, name: str) -> Array:
        """One boolean a state (n,)."""
        return self._shaped(self.get(name, np.bool_, 1), name, (self.n,))

    def per_state(self, name: str) -> Array:
        """One finite number a state (n,); float64."""
        return self.finite(name, self.n)

    def finite(self, name: str, count: int) -> Array:
        """``count`` finite numbers; float64."""
        array = self._shaped(self.get(name, np.number, 1), name, (count,))
        if not np.isfinite(array).all():
            raise damaged(self.path, f"{name!r} holds NaN or infinity", "finite numbers")
        return array.astype(np.float64)

    def _shaped(self, array: Array, name: str, shape: tuple[int, ...]) -> Array:
        if array.shape != shape:
            raise damaged(self.path, f"{name!r} has shape {array.shape}", f"shape {shape}")
        return array

"""Artifacts in npz files: named arrays, whose types and shapes are checked on reading."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weakspot.artifacts.schema import damaged
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.errors import RunError
from weakspot.run.verified import verify_file
from weakspot.system.files import UNREADABLE_ARRAYS, raise_unless_damage, write_atomic
from weakspot.system.npz import read_npz

Array = npt.NDArray[Any]

UNREADABLE = (*UNREADABLE_ARRAYS, RuntimeError, TypeError, MemoryError, OverflowError, struct.error)
"""What numpy and zipfile raise for damaged archives, depending on the byte that changed."""


def write_arrays(path: Path, arrays: Mapping[str, Array | None], nan_allowed: tuple[str, ...] = ()) -> None:
    """Writes named arrays to a compressed npz file, atomically.

    Args:
        path: the file.
        arrays: by name; those that are None are left out.
        nan_allowed: names of arrays that may contain NaN.

    Raises:
        RunError: another array contains NaN.
        StorageError: the file cannot be written.
    """
    present: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    for name, array in present.items():
        if name not in nan_allowed and np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
            raise RunError(
                f"{path} was not written: {name!r} contains NaN",
                expected="numbers",
                todo="check the outputs of the agent and the target; otherwise report this as a bug of the stage",
            )

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **present)

    write_atomic(path, write)


class Arrays:
    """The arrays of an npz file, read with checks.

    Args:
        path: the file.
        environment: gives the shape of frames and the number of actions.
        first: name of an array of stacks; its length is n, the number of states of all arrays.

    Raises:
        RunError: the file is damaged. All methods raise it if the array is missing or has another type or shape.
    """

    def __init__(self, path: Path, environment: EnvironmentRecord, first: str) -> None:
        self.path, self.environment = path, environment
        self._arrays = load_arrays(path)
        self.n = len(self._get(first, 5, np.uint8))

    def __contains__(self, name: str) -> bool:
        """Whether the file has an array of that name."""
        return name in self._arrays

    def require(self, count: int, file: str) -> None:
        """Raises :class:`RunError` unless n is ``count``, as another ``file`` of the artifact says."""
        if self.n != count:
            raise damaged(self.path, f"it has {self.n} states", f"{count}, as {file} says")

    def stacks(self, name: str) -> Array:
        """One stack of frames for each state (n, k, h, w, c); uint8."""
        return self._stacks(name, self.n)

    def maps(self, name: str) -> Array:
        """One map for each state (n, h, w); uint8."""
        return self._shaped(name, self._get(name, 3, np.uint8), (self.n, self.environment.height, self.environment.width))

    def frames(self, name: str, count: int) -> Array:
        """``count`` frames (count, h, w, c); uint8."""
        spec = self.environment
        return self._shaped(name, self._get(name, 4, np.uint8), (count, spec.height, spec.width, spec.channels))

    def any_frames(self, name: str) -> Array:
        """Any number of frames (m, h, w, c); uint8."""
        return self.frames(name, len(self._get(name, 4, np.uint8)))

    def scores(self, name: str) -> Array:
        """The agent's scores (n, a); float64, finite, but log-probabilities may be minus infinity."""
        array = self._shaped(name, self._get(name, 2, np.floating), (self.n, len(self.environment.action_names)))
        if np.isnan(array).any() or np.isposinf(array).any():
            raise damaged(self.path, f"{name!r} contains NaN or infinity", "finite numbers")
        return array.astype(np.float64)

    def flags(self, name: str) -> Array:
        """One boolean for each state (n,)."""
        return self._shaped(name, self._get(name, 1, np.bool_), (self.n,))

    def integers(self, name: str) -> Array:
        """One integer for each state (n,)."""
        return self._shaped(name, self._get(name, 1, np.integer), (self.n,))

    def any_integers(self, name: str) -> Array:
        """Any number of integers (m,)."""
        return self._get(name, 1, np.integer)

    def numbers(self, name: str) -> Array:
        """One finite number for each state (n,); float64."""
        return self._shaped(name, self._finite(name), (self.n,))

    def sample(self, name: str) -> Array:
        """Any number of finite numbers (m,); float64."""
        return self._finite(name)

    def series(self, name: str) -> Array:
        """A series of numbers for each state (n, steps); float64, NaN allowed."""
        return self._vectors(name).astype(np.float64)

    def vectors(self, *names: str) -> tuple[Array, ...]:
        """Vectors of one length for each state, (n, z) each; floating point."""
        arrays = tuple(self._vectors(name) for name in names)
        if len({array.shape for array in arrays}) > 1:
            seen = ", ".join(f"{name!r} has shape {array.shape}" for name, array in zip(names, arrays, strict=True))
            raise damaged(self.path, seen, "one shape (n, z)")
        return arrays

    def ranked(self, stacks: str, numbers: str) -> tuple[Array, Array]:
        """Stacks (r, k, h, w, c), uint8, and a finite number for each (r,), float64; r is any number."""
        array = self._finite(numbers)
        return self._stacks(stacks, len(array)), array

    def _stacks(self, name: str, count: int) -> Array:
        spec = self.environment
        shape = (count, spec.frames, spec.height, spec.width, spec.channels)
        return self._shaped(name, self._get(name, 5, np.uint8), shape)

    def _vectors(self, name: str) -> Array:
        array = self._get(name, 2, np.floating)
        return self._shaped(name, array, (self.n, array.shape[1]))

    def _finite(self, name: str) -> Array:
        array = self._get(name, 1, np.integer, np.floating)
        if not np.isfinite(array).all():
            raise damaged(self.path, f"{name!r} contains NaN or infinity", "finite numbers")
        return array.astype(np.float64)

    def _get(self, name: str, dimensions: int, *kinds: type[np.generic]) -> Array:
        if name not in self._arrays:
            raise damaged(self.path, f"it has no array {name!r}", f"the array {name!r}")
        array = self._arrays[name]
        if array.ndim != dimensions or not any(np.issubdtype(array.dtype, kind) for kind in kinds):
            seen = f"{name!r} is {array.dtype} with shape {array.shape}"
            expected = f"{dimensions} dimensions of {' or '.join(kind.__name__ for kind in kinds)}"
            raise damaged(self.path, seen, expected)
        return array

    def _shaped(self, name: str, array: Array, shape: tuple[int, ...]) -> Array:
        if array.shape != shape:
            raise damaged(self.path, f"{name!r} has shape {array.shape}", f"shape {shape}")
        return array


def load_arrays(path: Path) -> dict[str, Array]:
    """All arrays of an npz file; raises :class:`RunError` if it is damaged."""
    expected = "an npz archive of plain arrays"
    verify_file(path)
    try:
        return read_npz(path)
    except UNREADABLE as error:
        if isinstance(error, OSError):
            raise_unless_damage(path, error)
        raise damaged(path, str(error), expected) from error

"""Artifact of the overconfidence stage: the estimate of how much more the agent gets than it expects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weakspot.artifacts.schema import damaged

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ARRAYS = "surplus.npz"


@dataclass(frozen=True)
class SurplusArrays:
    """The estimate.

    Attributes:
        weights: of the agent's features (f,) float64.
        offset: added to it.
        recorded: the estimated surplus of each recorded state (n,) float64.
    """

    weights: npt.NDArray[np.float64]
    offset: float
    recorded: npt.NDArray[np.float64]


def write_surplus(folder: Path, arrays: SurplusArrays) -> None:
    """Writes the estimate; raises :class:`RunError` if a number is NaN."""
    import numpy as np

    from weakspot.artifacts.arrays import write_arrays

    offset = np.array([arrays.offset])
    write_arrays(folder / ARRAYS, {"weights": arrays.weights, "offset": offset, "recorded": arrays.recorded})


def read_surplus(folder: Path, count: int) -> SurplusArrays:
    """Reads the estimate of a collection of ``count`` states; raises :class:`RunError` if the file is damaged."""
    import numpy as np

    from weakspot.artifacts.arrays import load_arrays

    path = folder / ARRAYS
    arrays = load_arrays(path)
    for name, length in (("weights", None), ("offset", 1), ("recorded", count)):
        array = arrays.get(name)
        fits = array is not None and array.ndim == 1 and array.dtype == np.float64 and length in (None, len(array))
        if array is None or not fits or not np.isfinite(array).all():
            seen = "is missing" if array is None else f"is {array.dtype} with shape {array.shape}, or not finite"
            raise damaged(path, f"{name!r} {seen}", f"finite float64 numbers ({'f' if length is None else length},)")
    return SurplusArrays(arrays["weights"], float(arrays["offset"][0]), arrays["recorded"])

"""Artifact of the novelty stage: the synthesised states of one target compared with real ones (section 4.8)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from weakspot.artifacts.schema import RERUN
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.errors import RunError

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array

ARRAYS = "novelty.npz"


@dataclass(frozen=True)
class Novelty:
    """Synthesised states compared with real ones.

    Attributes:
        closest: the training state closest to each synthesised one (n, k, h, w, c), uint8.
        closest_index: its index in the data set (n,).
        mse: mean squared error between the two (n,).
        differing_share: share of pixels in which they differ by more than 25 % (n,), in [0, 1].
        real_target: energies of the target in held-out real states (m,).
        retrieved: the training states of lowest energy (r, k, h, w, c), uint8.
        retrieved_target: their energies (r,).
    """

    closest: Array
    closest_index: Array
    mse: Array
    differing_share: Array
    real_target: Array
    retrieved: Array
    retrieved_target: Array


def write_novelty(folder: Path, novelty: Novelty) -> None:
    """Writes the artifact; raises :class:`RunError` if it contains NaN."""
    from weakspot.artifacts.arrays import write_arrays

    write_arrays(folder / ARRAYS, {field.name: getattr(novelty, field.name) for field in fields(novelty)})


def read_novelty(folder: Path, environment: EnvironmentRecord, states: int) -> Novelty:
    """Reads the artifact of ``states`` synthesised states; raises :class:`RunError` if it is damaged."""
    from weakspot.artifacts.arrays import Arrays

    arrays = Arrays(folder / ARRAYS, environment, "closest")
    if arrays.n != states:
        raise RunError(
            f"{arrays.path} is about {arrays.n} states",
            expected=f"{states}, the number of states that were synthesised for this target",
            todo=f"delete {arrays.path} and {RERUN}",
        )
    retrieved, retrieved_target = arrays.ranked("retrieved", "retrieved_target")
    return Novelty(
        closest=arrays.stacks("closest"),
        closest_index=arrays.integers("closest_index"),
        mse=arrays.numbers("mse"),
        differing_share=arrays.numbers("differing_share"),
        real_target=arrays.sample("real_target"),
        retrieved=retrieved,
        retrieved_target=retrieved_target,
    )

"""Findings that a person kept in the explorer: a state or a clip, with a note.  They lie in ``kept/`` of the run folder, one
folder each, and the report shows them.  Each is written at once, its record last, so that nothing is lost in a kill."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from weakspot.artifacts.schema import read_artifact, write_artifact
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.system.files import make_folder

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array

FOLDER, RECORD, ARRAYS = "kept", "kept.json", "kept.npz"

KeptKind: TypeAlias = Literal["synthesised", "played"]


@dataclass(frozen=True)
class Edit:
    """Variables of the environment that were changed while it was played.

    Attributes:
        decision: number of decisions played before, counted from the start of the clip.
        changes: the new value of each variable, by its position.
        names: of these variables.
    """

    decision: int
    changes: dict[int, float]
    names: tuple[str, ...]


@dataclass(frozen=True)
class KeptRecord:
    """What was kept, without its frames.

    Attributes:
        id: name of its folder.
        kind: ``synthesised`` by the state model, or ``played`` in the environment.
        origin: what it was made from, in words.
        note: of the person who kept it; may be empty.
        created: date and time, ISO 8601, UTC.
        source: reference to the state where it began, as the explorer writes it, such as ``twin/t-minus/0``.
        latent: u of a synthesised state, or None.
        actions: of a clip, from the source on; of continuous actions, one tuple each.
        edits: of variables during the clip.
    """

    SCHEMA: ClassVar[int] = 1
    id: str
    kind: KeptKind
    origin: str
    note: str
    created: str
    source: str
    latent: tuple[float, ...] | None
    actions: tuple[int | tuple[float, ...], ...]
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Kept:
    """What was kept.

    Attributes:
        record: everything except the arrays.
        state: (k, h, w, c), uint8; the last one of a clip.
        scores: of the agent there (a,).
        value: of the critic there, or None.
        frames: of a clip (m, h, w, c); m is 0 for a single state.
    """

    record: KeptRecord
    state: Array
    scores: Array
    value: float | None
    frames: Array


def write_kept(run: Path, kept: Kept) -> None:
    """Writes a kept finding into the run folder ``run``.

    Raises:
        RunError: it contains NaN.
        StorageError: it cannot be written.
    """
    import numpy as np

    from weakspot.artifacts.arrays import write_arrays

    folder = make_folder(run / FOLDER / kept.record.id)
    value = None if kept.value is None else np.array([kept.value])
    arrays = {"state": kept.state[None], "scores": kept.scores[None], "value": value, "frames": kept.frames}
    write_arrays(folder / ARRAYS, arrays)
    write_artifact(folder / RECORD, kept.record)


def kept_ids(run: Path) -> tuple[str, ...]:
    """The ids of all kept findings of a run folder, oldest first; folders without a record are unfinished."""
    records = sorted((run / FOLDER).glob(f"*/{RECORD}"))
    return tuple(path.parent.name for path in records)


def read_kept(run: Path, name: str, environment: EnvironmentRecord) -> Kept:
    """Reads a kept finding; raises :class:`RunError` if it is damaged."""
    from weakspot.artifacts.arrays import Arrays

    folder = run / FOLDER / name
    record = read_artifact(folder / RECORD, KeptRecord)
    arrays = Arrays(folder / ARRAYS, environment, "state")
    arrays.require(1, RECORD)
    return Kept(
        record=record,
        state=arrays.stacks("state")[0],
        scores=arrays.scores("scores")[0],
        value=float(arrays.numbers("value")[0]) if "value" in arrays else None,
        frames=arrays.any_frames("frames"),
    )


def write_note(run: Path, record: KeptRecord) -> None:
    """Replaces the record of a kept finding, for example after its note was changed."""
    write_artifact(run / FOLDER / record.id / RECORD, record)


def remove_kept(run: Path, name: str) -> None:
    """Moves a kept finding to ``kept/removed``, from where it can be taken back."""
    removed = make_folder(run / FOLDER / "removed")
    folder = run / FOLDER / name
    shutil.rmtree(removed / name, ignore_errors=True)
    folder.rename(removed / name)


def kept_digest(run: Path) -> list[str]:
    """The kept findings with their records, as plain data that changes whenever one of them does."""
    import hashlib

    names = kept_ids(run)
    return [f"{name} {hashlib.sha256((run / FOLDER / name / RECORD).read_bytes()).hexdigest()}" for name in names]

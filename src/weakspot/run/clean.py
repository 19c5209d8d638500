"""``weakspot clean``: deletes results of a store that no run shows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weakspot.errors import RunError
from weakspot.run.entry import RECORD
from weakspot.run.folder import registrations, used_by
from weakspot.system.files import make_folder, storage_errors
from weakspot.system.locks import lock_if_free

Kind = Literal["shown", "unused", "unfinished", "damaged"]


@dataclass(frozen=True)
class Stored:
    """A result in a store.

    Attributes:
        folder: of its files.
        kind: ``shown`` by a run, now or soon; ``unused``: shown by no run; ``unfinished``: without a record; or ``damaged``
            and set aside.
        size: in bytes.
    """

    folder: Path
    kind: Kind
    size: int


@dataclass(frozen=True)
class Survey:
    """All results of a store, and the registered runs that are no longer at their paths."""

    stored: tuple[Stored, ...]
    lost_runs: tuple[str, ...]

    def size(self, kind: Kind) -> int:
        """Size of all results of a kind, in bytes."""
        return sum(result.size for result in self.stored if result.kind == kind)


def survey(store: Path) -> Survey:
    """Lists the results of a store. If a registered run is not found, the results it showed last count as shown.

    Raises:
        RunError: ``store`` is not a store, or a registration is damaged.
    """
    if not (store / "runs").is_dir():
        raise RunError(f"{store} is not a store", expected="a folder that weakspot made", todo="check --output and --store")
    used: set[str] = set()
    lost: list[str] = []
    for registration in registrations(store).values():
        results, there = used_by(registration, store)
        used |= results
        if not there:
            lost.append(registration.run)
    stored: list[Stored] = []
    for stage in sorted(path for path in store.iterdir() if path.is_dir() and path.name not in ("locks", "runs")):
        for folder in sorted(path for path in stage.iterdir() if path.is_dir()):
            stored.append(Stored(folder, _kind(folder, used), _size(folder)))
    return Survey(tuple(stored), tuple(lost))


def clean(store: Path, kinds: tuple[Kind, ...] = ("unused", "damaged")) -> Survey:
    """Deletes the results of some kinds, except those that a process is working on; returns what was deleted.

    Raises:
        RunError: ``store`` is not a store, or a registration is damaged.
        StorageError: a result cannot be deleted.
    """
    deleted: list[Stored] = []
    found = survey(store)
    for result in found.stored:
        if result.kind != "shown" and result.kind in kinds and _delete(result.folder, make_folder(store / "locks")):
            deleted.append(result)
    return Survey(tuple(deleted), found.lost_runs)


def _delete(folder: Path, locks: Path) -> bool:
    """Deletes a result unless a process is working on it."""
    lock = locks / f"{folder.parent.name}-{folder.name.partition('.')[0]}.lock"
    with lock_if_free(lock) as free, storage_errors(folder):
        if free:
            (folder / RECORD).unlink(missing_ok=True)  # from here on it counts as unfinished, even after a kill
            shutil.rmtree(folder)
            lock.with_suffix(".seconds").unlink(missing_ok=True)
    return free


def _kind(folder: Path, used: set[str]) -> Kind:
    if f"{folder.parent.name}/{folder.name}" in used:
        return "shown"
    if ".damaged-" in folder.name:
        return "damaged"
    return "unused" if (folder / RECORD).exists() else "unfinished"


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())

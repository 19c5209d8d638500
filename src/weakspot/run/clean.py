"""``weakspot clean``: deletes results of a store that no run shows."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weakspot.errors import RunError
from weakspot.run.entry import RECORD
from weakspot.run.folder import MARKER, RESULT, registrations, used_by
from weakspot.run.store import free_name
from weakspot.system.files import make_folder, storage_errors
from weakspot.system.locks import lock_if_free

Kind = Literal["shown", "unused", "unfinished", "damaged"]


@dataclass(frozen=True)
class Stored:
    """A result in a store.

    Attributes:
        folder: of its files.
        kind: ``shown`` by a run, now or soon; ``unused``: shown by no run; ``unfinished``: without a record; or ``damaged``
            and moved aside.
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
    if not (store / MARKER).is_file():
        raise RunError(f"{store} is not a store", expected="a folder that weakspot made", todo="check --output and --store")
    used, lost = _used(store)
    return Survey(tuple(Stored(folder, _kind(folder, used), _size(folder)) for folder in _results(store)), lost)


def clean(store: Path, kinds: tuple[Kind, ...] = ("unused", "damaged")) -> Survey:
    """Deletes the results of some kinds, except those that a process is working on; returns what was deleted.

    Raises:
        RunError: ``store`` is not a store, or a registration is damaged.
        StorageError: a result cannot be deleted.
    """
    surveyed = survey(store)
    locks = make_folder(store / "locks")
    chosen = [result for result in surveyed.stored if result.kind != "shown" and result.kind in kinds]
    return Survey(tuple(result for result in chosen if _delete(result, store, locks)), surveyed.lost_runs)


def _used(store: Path) -> tuple[set[str], tuple[str, ...]]:
    """The results that runs use, as ``stage/key``, and the runs that are no longer at their paths."""
    used: set[str] = set()
    lost: list[str] = []
    for registration in registrations(store).values():
        results, exists = used_by(registration, store)
        used |= results
        if not exists:
            lost.append(registration.run)
    return used, tuple(lost)


def _results(store: Path) -> list[Path]:
    """The folders of all results; anything else in the store, and every link, is left alone."""
    stages = sorted(path for path in store.iterdir() if path.is_dir() and not path.is_symlink())
    return [
        folder
        for stage in stages
        for folder in sorted(stage.iterdir())
        if RESULT.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink()
    ]


def _delete(result: Stored, store: Path, locks: Path) -> bool:
    """Deletes a result, unless a process is working on it or a run has started to use it since the survey."""
    folder = result.folder
    key = folder.name.partition(".")[0]
    lock = locks / f"{folder.parent.name}-{key}.lock"
    with lock_if_free(lock) as free, storage_errors(folder):
        if not free or not folder.exists() or _kind(folder, _used(store)[0]) != result.kind:
            return False
        if result.kind != "damaged":
            folder = folder.rename(free_name(folder))  # atomic, so that a kill does not leave a part of the result
        shutil.rmtree(folder)
        lock.with_suffix(".seconds").unlink(missing_ok=True)
    return True


def _kind(folder: Path, used: set[str]) -> Kind:
    if f"{folder.parent.name}/{folder.name}" in used:
        return "shown"
    if ".damaged-" in folder.name:
        return "damaged"
    return "unused" if (folder / RECORD).exists() else "unfinished"


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a temporary file of a process that is working
            size += path.lstat().st_size if path.is_file() else 0
    return size

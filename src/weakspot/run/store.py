"""A store of results, each under the digest of what it was made from. Processes can share it.

    store/
      <stage>/<key>/              a result: its files, and entry.json, which is written last
      <stage>/<key>.damaged-1/    a result whose files had changed, moved aside
      locks/                      locks of the processes that make results, and how long interrupted attempts took
      runs/                       the run folders that show results of the store
      store.json                  marks the folder as a store

A result is written to its final folder from the start, so a stage that was killed finds its own files and resumes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from weakspot.errors import LeftoverError, RunError, SchemaError, StorageError
from weakspot.run.entry import RECORD, Entry, read_entry, write_entry
from weakspot.run.records import decode_checked, write_record
from weakspot.system.files import make_folder, refuse_links, remove_temporary, storage_errors
from weakspot.system.locks import waiting_lock
from weakspot.system.progress import say
from weakspot.system.provenance import digest, versions


@dataclass(frozen=True)
class Request:
    """A request for a result.

    Attributes:
        stage, part: identify the result; the part is the slug of a target, or empty.
        made_from: settings and fingerprints of the inputs, as plain data; they determine the result.
        outputs: files that the result must contain.
        scratch: files that are only needed while it is made, and are deleted afterwards.
    """

    stage: str
    part: str
    made_from: Mapping[str, Any]
    outputs: tuple[str, ...]
    scratch: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Stage and part, such as ``train`` or ``synthesize/t-minus``."""
        return f"{self.stage}/{self.part}" if self.part else self.stage

    @property
    def key(self) -> str:
        """The digest under which the result is stored."""
        return digest(self.made_from)


Work = Callable[[Path], str]
"""Makes a result in a folder and returns the fingerprint of its content."""


@dataclass(frozen=True)
class Store:
    """The store at ``path``."""

    path: Path

    def folder(self, request: Request) -> Path:
        """The folder of a result."""
        return self.path / request.stage / request.key

    def find(self, request: Request) -> Entry | None:
        """The finished result; None if there is none, or if it is damaged.

        Raises:
            SchemaError: a newer version of weakspot wrote it.
        """
        return self._inspect(request)[0]

    def has_results(self, stage: str) -> bool:
        """Whether there is any finished result of a stage."""
        return any((self.path / stage).glob(f"*/{RECORD}"))

    def make(self, request: Request, work: Work) -> tuple[Entry, bool]:
        """The finished result, and whether this call made it.

        If another process is making it, waits for that process and returns its result, or resumes its work if that process
        is killed. A damaged result is moved aside and recomputed.

        Raises:
            RunError: the work did not write all outputs.
            StorageError: the disk is full or read-only.
        """
        folder = self.folder(request)
        with self._lock(request.stage, request.key, request.name):
            entry, problem = self._inspect(request)
            if entry:
                return entry, False
            if problem or (problem := _unusable(folder)):
                self._move_aside(folder, f"{request.name}: {problem}")
            self._clear_temporary(request)
            make_folder(folder)
            started, before = time.monotonic(), self._seconds(request)
            try:
                fingerprint = self._resume(request, folder, work)
            finally:
                seconds = before + time.monotonic() - started
                self._store_seconds(request, seconds)
            if absent := [name for name in request.outputs if not (folder / name).exists()]:
                raise RunError(
                    f"the {request.stage} stage ended without writing {', '.join(absent)}",
                    expected=f"the files {', '.join(request.outputs)} in {folder}",
                    todo="report this as a bug of the stage",
                )
            entry = write_entry(
                folder, stage=request.stage, part=request.part, made_from=request.made_from, fingerprint=fingerprint,
                seconds=round(seconds, 1), created=datetime.now(UTC).isoformat(timespec="seconds"), versions=versions(),
                scratch=request.scratch,
            )  # fmt: skip
            self._store_seconds(request, 0.0)
            return entry, True

    def _resume(self, request: Request, folder: Path, work: Work) -> str:
        """Does the work; if what an earlier attempt left is damaged, moves it aside and starts from nothing."""
        try:
            return work(folder)
        except LeftoverError as error:
            self._move_aside(folder, f"{request.name}: {error.seen}")
            make_folder(folder)
        return work(folder)

    def _clear_temporary(self, request: Request) -> None:
        """Deletes what interrupted writes of a result left; no other process writes there, since this one holds its lock."""
        folder, seconds = self.folder(request), self._seconds_file(request)
        remove_temporary(seconds.parent, seconds.name)
        if folder.is_dir():
            for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
                remove_temporary(place)

    def discard(self, entry: Entry, problem: str) -> bool:
        """Moves a damaged result aside, so that it is recomputed.

        Returns:
            Whether it is gone; False if its files are as recorded after all.
        """
        record = entry.record
        name = f"{record.stage}/{record.part}" if record.part else record.stage
        with self._lock(record.stage, record.key, name):
            current = read_entry(entry.folder)
            if current is not None and current == entry:  # another process may have recomputed it
                if not current.changed():
                    return False
                self._move_aside(entry.folder, f"{name}: {problem}")
        return True

    def _inspect(self, request: Request) -> tuple[Entry | None, str | None]:
        """The result, or a description of what is wrong with it; neither if it is unfinished."""
        try:
            entry = read_entry(self.folder(request))
        except (SchemaError, StorageError):
            raise
        except RunError as error:
            return None, error.seen
        if entry is None:
            return None, None
        record = entry.record
        if record.key != request.key or digest(record.made_from) != request.key or record.stage != request.stage:
            return None, f"its record is that of {record.stage} {record.key}"
        problem = entry.missing()
        return (None, problem) if problem else (entry, None)

    def _move_aside(self, folder: Path, problem: str) -> None:
        aside = free_name(folder)
        with storage_errors(folder):
            if folder.exists():
                folder.rename(aside)
                say(f"{problem}; moved to {aside} and recomputed")

    @contextmanager
    def _lock(self, stage: str, key: str, name: str) -> Generator[None]:
        path = self.path / "locks" / f"{stage}-{key}.lock"
        refuse_links(self.path, path)
        refuse_links(self.path, self.path / stage / key)
        make_folder(path.parent)
        with waiting_lock(path, lambda: say(f"{name}: another process is making this; waiting for it")):
            yield

    def _seconds_file(self, request: Request) -> Path:
        return self.path / "locks" / f"{request.stage}-{request.key}.seconds"

    def _seconds(self, request: Request) -> float:
        try:
            content = decode_checked(self._seconds_file(request).read_bytes(), _Seconds)
        except (OSError, msgspec.DecodeError, RecursionError):
            return 0.0
        return content.seconds

    def _store_seconds(self, request: Request, seconds: float) -> None:
        path = self._seconds_file(request)
        try:
            write_record(path, _Seconds(seconds)) if seconds else path.unlink(missing_ok=True)
        except (OSError, RunError):
            return  # only the recorded duration is lost; the next write that matters reports a full disk


@dataclass(frozen=True)
class _Seconds:
    """How long the interrupted attempts to make a result took."""

    seconds: float


def _unusable(folder: Path) -> str | None:
    """Describes what cannot be left in the folder of an unfinished result: anything but files and folders."""
    if folder.exists() and not folder.is_dir():
        return "its folder is a file"
    links = [path for path in folder.rglob("*") if path.is_symlink()] if folder.is_dir() else []
    return f"{links[0].name} is a link" if links else None


def free_name(folder: Path) -> Path:
    """The first unused name, such as ``<key>.damaged-1``, to which a result can be moved aside."""
    number = 1
    while os.path.lexists(aside := folder.with_name(f"{folder.name}.damaged-{number}")):
        number += 1
    return aside

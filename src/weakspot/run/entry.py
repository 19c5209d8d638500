"""A finished result in the store: its files, and a record of what it was made from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from weakspot.errors import RunError
from weakspot.run.records import decode_record, write_record
from weakspot.system.files import storage_errors, sync_folder, unreadable
from weakspot.system.provenance import digest, full_file_digest

SCHEMA = 1
"""Version of the record."""
RECORD = "entry.json"
"""File name of the record. It is written last, so an entry without it is unfinished."""


Identity: TypeAlias = tuple[str, int, int, int, int, int]
"""What the file system says of a file; it differs after every change."""

_INTACT: set[tuple[str | int, ...]] = set()
"""The files whose content this process has compared with the digest that follows their identity."""


def _identity(path: Path) -> Identity:
    seen = path.stat()
    return os.path.abspath(path), seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class EntryRecord:
    """What ``entry.json`` holds.

    Attributes:
        schema: version of these fields.
        stage, part: identify the result; the part is the slug of a target, or empty.
        key: digest of ``made_from``.
        made_from: the settings and the fingerprints of the inputs.
        fingerprint: digest of the content that later stages read.
        seconds: time spent on making it, over all attempts.
        created: date and time, UTC.
        versions: of Python and of the packages that made it.
        files: name of each file, relative to the entry, to its size and digest.
    """

    schema: int
    stage: str
    part: str
    key: str
    made_from: dict[str, Any]
    fingerprint: str
    seconds: float
    created: str
    versions: dict[str, str]
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class Entry:
    """A finished result: where its files are, and its record."""

    folder: Path
    record: EntryRecord

    @property
    def size(self) -> int:
        """Size of all files, in bytes."""
        return sum(file.size for file in self.record.files.values())

    def missing(self) -> str | None:
        """Describes a file that is missing, a link, or of another size than recorded; None if there is none.

        Raises:
            StorageError: a file cannot be accessed.
        """
        return next((problem for name in self.record.files if (problem := self.missing_file(name))), None)

    def missing_file(self, name: str) -> str | None:
        """The same for one recorded file."""
        try:
            if problem := self._link(name):
                return problem
            size = (self.folder / name).lstat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return f"{name} is missing"
        except OSError as error:
            raise unreadable(self.folder / name, error) from error
        expected = self.record.files[name].size
        return None if size == expected else f"{name} has {size:,} bytes instead of {expected:,}"

    def _link(self, name: str) -> str | None:
        """Says that a file, or a folder between it and the entry's, is a link, which could lead to anything."""
        path = self.folder / name
        parts = [path, *path.parents][: len(Path(name).parts)]
        return next((f"{part.name} is a link" for part in parts if part.is_symlink()), None)

    def changed(self) -> str | None:
        """Describes a file whose content differs from its digest; None if there is none. Reads all files.

        Raises:
            StorageError: a file cannot be read.
        """
        if problem := self.missing():
            return problem
        return next((problem for name in self.record.files if (problem := self.differs(name))), None)

    def differs(self, name: str) -> str | None:
        """Says that the content of a recorded file differs from its digest; None if it does not.

        The file is read once per process, and again if the file system says that it has changed since.

        Raises:
            StorageError: it cannot be read.
        """
        path, expected = self.folder / name, self.record.files[name].sha256
        try:
            seen = (*_identity(path), expected)
            if seen in _INTACT:
                return None
            if full_file_digest(path) != expected:
                return f"the content of {name} has changed"
        except OSError as error:
            raise unreadable(path, error) from error
        _INTACT.add(seen)
        return None


def read_entry(folder: Path) -> Entry | None:
    """The entry in ``folder``; None if it is unfinished.

    Raises:
        SchemaError: a newer version of weakspot wrote it.
        RunError: its record is damaged.
    """
    path = folder / RECORD
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        record = decode_record(path, content, EntryRecord, SCHEMA, "--output and --store")
        if outside := [name for name in record.files if Path(name).is_absolute() or ".." in Path(name).parts]:
            raise msgspec.ValidationError(f"it names the file {outside[0]!r}")
        return Entry(folder, record)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged: {error}", expected="a record that weakspot wrote", todo="run the same command again"
        ) from error


def write_entry(
    folder: Path,
    *,
    stage: str,
    part: str,
    made_from: Mapping[str, Any],
    fingerprint: str,
    seconds: float,
    created: str,
    versions: Mapping[str, str],
    scratch: Iterable[str],
) -> Entry:
    """Finishes the entry in ``folder``: deletes the ``scratch`` files and records all others.

    Raises:
        StorageError: the record cannot be written.
    """
    with storage_errors(folder):
        for name in scratch:
            (folder / name).unlink(missing_ok=True)
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
        files = {str(path.relative_to(folder)): FileRecord(path.stat().st_size, full_file_digest(path)) for path in paths}
    record = EntryRecord(
        SCHEMA, stage, part, digest(made_from), dict(made_from), fingerprint, seconds, created, dict(versions), files
    )
    with storage_errors(folder):
        for parent in {path.parent for path in paths}:
            sync_folder(parent)
    write_record(folder / RECORD, record)
    return Entry(folder, record)

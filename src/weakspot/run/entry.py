"""A finished result in the store: its files, and a record of what it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from weakspot.errors import RunError, StorageError
from weakspot.run.records import decode_record
from weakspot.system.files import storage_errors, write_json
from weakspot.system.provenance import digest, full_file_digest

SCHEMA = 1
"""Version of the record."""
RECORD = "entry.json"
"""File name of the record. It is written last, so an entry without it is unfinished."""


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
        """Describes a file that is missing or has another size than recorded; None if there is none.

        Raises:
            StorageError: a file cannot be accessed.
        """
        for name, file in self.record.files.items():
            try:
                size = (self.folder / name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return f"{name} is missing"
            except OSError as error:
                raise unreadable(self.folder / name, error) from error
            if size != file.size:
                return f"{name} has {size:,} bytes instead of {file.size:,}"
        return None

    def changed(self) -> str | None:
        """Describes a file whose content differs from its digest; None if there is none. Reads all files.

        Raises:
            StorageError: a file cannot be read.
        """
        if problem := self.missing():
            return problem
        for name, file in self.record.files.items():
            try:
                actual = full_file_digest(self.folder / name)
            except OSError as error:
                raise unreadable(self.folder / name, error) from error
            if actual != file.sha256:
                return f"the content of {name} has changed"
        return None


def unreadable(path: Path, error: OSError) -> StorageError:
    """The error for a file that is there but cannot be read, which does not mean that it is damaged."""
    return StorageError(
        f"{path} cannot be read: {error.strerror}", expected="a readable file", todo="check its permissions and disk"
    )


def read_entry(folder: Path) -> Entry | None:
    """The entry in ``folder``; None if it is unfinished.

    Raises:
        SchemaError: a newer version of weakspot wrote it.
        RunError: its record is damaged.
    """
    path = folder / RECORD
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        return Entry(folder, decode_record(path, content, EntryRecord, SCHEMA, "--output and --store"))
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
    write_json(folder / RECORD, msgspec.to_builtins(record))
    return Entry(folder, record)

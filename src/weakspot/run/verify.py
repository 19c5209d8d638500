"""``weakspot verify``: compares all files of a run with the digests that were recorded when they were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weakspot.errors import RunError, SchemaError, StorageError
from weakspot.run.entry import read_entry
from weakspot.run.folder import RunFolder, RunRecord, registration_file


@dataclass(frozen=True)
class Verified:
    """A part of a run after its check.

    Attributes:
        name: stage and part of a result, or ``links``.
        folder: where it is.
        size: of its files in bytes.
        problem: what is wrong with it; None if nothing is.
    """

    name: str
    folder: Path
    size: int
    problem: str | None


def verify(run: Path) -> Iterator[Verified]:
    """Checks the record of a run, all results that it shows, and its links; reads every file.

    Raises:
        RunError: the folder is not a run folder, or its record is damaged.
        SchemaError: a newer version of weakspot wrote a file.
        StorageError: a file cannot be read.
    """
    folder = RunFolder(run.absolute())
    record = folder.read() if run.exists() else None
    if record is None:
        raise RunError(f"{run} is not a run folder", expected="a folder that weakspot made", todo="check the path")
    store = folder.store(record)
    for name, shown in record.results.items():
        yield _verify_result(name, store / name.partition("/")[0] / shown.key, shown.key)
    yield Verified("links", folder.path, 0, _problem_of_links(folder, record, store))


def _verify_result(name: str, folder: Path, key: str) -> Verified:
    try:
        entry = read_entry(folder)
    except (SchemaError, StorageError):
        raise
    except RunError as error:
        return Verified(name, folder, 0, error.seen)
    if entry is None:
        return Verified(name, folder, 0, "it has no record")
    stage, _, part = name.partition("/")
    if (entry.record.stage, entry.record.part, entry.record.key) != (stage, part, key):
        return Verified(name, folder, entry.size, f"its record is that of {entry.record.stage} {entry.record.key}")
    return Verified(name, folder, entry.size, entry.changed())


def _problem_of_links(folder: RunFolder, record: RunRecord, store: Path) -> str | None:
    if folder.shows(record):
        return None
    if not registration_file(store, folder.path).is_file():
        return "the run is not registered with its store"
    return "a link is missing or leads elsewhere"

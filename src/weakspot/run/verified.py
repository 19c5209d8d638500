"""Files of finished results are compared with their recorded digests before they are read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from weakspot.errors import DamagedResultError
from weakspot.run.entry import RECORD, Entry, read_entry


def verify_file(path: Path) -> bool:
    """Compares a file with the digest in the record beside it, once per process.

    Returns:
        Whether there is a digest to compare it with: a file of a result that is being made has none yet.

    Raises:
        DamagedResultError: the file is missing, or its content has changed.
        StorageError: it cannot be read.
        RunError: the record is damaged.
    """
    entry = entry_of(path.parent)
    if entry is None or path.name not in entry.record.files:
        return False
    if problem := entry.missing_file(path.name) or entry.differs(path.name):
        raise damaged_result(entry, problem)
    return True


def entry_of(folder: Path) -> Entry | None:
    """The finished result in a folder; None if there is none, or if it is unfinished."""
    try:
        seen = (folder / RECORD).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return read_entry(folder)  # which says what is wrong
    return _read_entry(folder, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns)


@lru_cache(maxsize=64)
def _read_entry(folder: Path, *identity: int) -> Entry | None:
    return read_entry(folder)


def damaged_result(entry: Entry, problem: str) -> DamagedResultError:
    """The error for a result that was changed after it was written."""
    record = entry.record
    name = f"{record.stage}/{record.part}" if record.part else record.stage
    return DamagedResultError(
        f"the result of {name} in {entry.folder} is damaged: {problem}",
        expected="the files as they were written",
        todo=f"delete the folder {entry.folder} and repeat the command of the run, which makes this result anew; "
        "`weakspot verify` finds all damaged results",
        folder=entry.folder,
        problem=problem,
    )

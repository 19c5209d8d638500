"""Atomic writes, and errors of the file system.

A kill at any moment leaves either the old content of a file or the new content, never a part of one.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from weakspot.errors import StorageError, WeakspotError

ALMOST_FULL = 1 << 20
"""In bytes.  If less space than this is free, a write error without a known number is attributed to a full disk."""

REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space left on the disk", "free some space, then run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, then run the same command again"),
    errno.EROFS: ("the file system is read-only", "choose a folder that can be written to"),
    errno.EACCES: ("writing is not permitted", "choose a folder that can be written to"),
    errno.EPERM: ("writing is not permitted", "choose a folder that can be written to"),
    errno.EEXIST: ("a file with that name exists", "choose another folder"),
    errno.ENOTDIR: ("a part of its path is a file", "choose another folder"),
    errno.ENOENT: ("its folder cannot be created there", "choose a folder that can be written to"),
}
"""Description and remedy, by the error number of the operating system."""

UNREADABLE_ARRAYS = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)
"""The exceptions that reading a damaged file of arrays can raise."""


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Converts the error of a full or read-only disk to a :class:`StorageError` that names ``path``.

    Libraries report a full disk in different ways (numpy without an error number, torch as a RuntimeError), so errors
    without a known number are attributed to a full disk if little space is free.  All other exceptions pass unchanged.
    """
    try:
        yield
    except WeakspotError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number not in REASONS:
            if not almost_full(path):
                raise
            number = errno.ENOSPC
        seen, todo = REASONS[number]
        raise StorageError(
            f"cannot write {path}: {seen}", expected="a writable folder with free space", todo=todo
        ) from error


def almost_full(path: Path) -> bool:
    """Whether the disk of the file ``path`` has less than :data:`ALMOST_FULL` bytes of free space."""
    try:
        return shutil.disk_usage(path.parent).free < ALMOST_FULL
    except OSError:
        return False


def make_folder(path: Path) -> Path:
    """Creates the folder ``path`` and its parents, and returns it; raises :class:`StorageError` if that fails."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Calls ``write`` with a temporary path in the same folder, flushes the file to the disk, and renames it to ``path``."""
    with storage_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            with storage_errors(path):  # here, while the temporary file still fills the disk
                write(temporary)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path`` atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomic(path, write)


def write_text(path: Path, content: str) -> None:
    """Writes ``content`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Writes ``content`` to ``path`` atomically, as indented JSON; raises ValueError for NaN and infinity."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")

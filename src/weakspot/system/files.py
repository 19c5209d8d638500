"""Writing files so that a kill at any moment leaves either the old content or the new, never half of either."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from weakspot.errors import RunError, StorageError, WeakspotError

FULL = 1 << 20
"""Bytes; with less than this left, an error while writing is put down to the full disk."""

REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space left on the disk", "free some space, then run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, then run the same command again"),
    errno.EROFS: ("the file system is read-only", "choose a folder that can be written to"),
    errno.EACCES: ("writing is not permitted", "choose a folder that can be written to"),
    errno.EPERM: ("writing is not permitted", "choose a folder that can be written to"),
    errno.EEXIST: ("a file of that name is in the way", "choose another folder"),
    errno.ENOTDIR: ("a file is in the way of its folder", "choose another folder"),
    errno.ENOENT: ("its folder cannot be made there", "choose a folder that can be written to"),
}


UNREADABLE_ARRAYS = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)
"""What reading a damaged file of arrays can raise."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns a full or read-only disk into a :class:`StorageError` that names ``path``.

    Libraries report a full disk in ways of their own (numpy without an error number, torch as a RuntimeError), so
    for other errors the free space decides.
    """
    try:
        yield
    except WeakspotError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number not in REASONS:
            if not _full(path):
                raise
            number = errno.ENOSPC
        seen, todo = REASONS[number]
        raise StorageError(
            f"cannot write {path}: {seen}", expected="a folder with space that can be written to", todo=todo
        ) from error


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Keeps a second process out of a folder meanwhile; raises :class:`RunError` where one is in it."""
    path = folder / ".lock"
    with ExitStack() as stack:
        with storage_errors(path):  # errors of the work inside are not the lock's
            file = stack.enter_context(open(path, "w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"another process is working in {folder}", todo="wait for it, or choose another --output"
            ) from error
        yield


def _full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < FULL
    except OSError:
        return False


def make_folder(path: Path) -> Path:
    """Makes ``path`` and its parents and returns it; raises :class:`StorageError` where that is not possible."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Calls ``write`` with a path beside ``path``, flushes what it wrote to the disk, and renames it to ``path``."""
    with storage_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            with storage_errors(path):  # here, while what was written still fills the disk
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
    """Writes ``content`` to ``path`` atomically, as indented JSON; refuses NaN, which is not JSON."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def forget_after(lines: Path, step: int) -> None:
    """Drops what a kill left behind the checkpoint of ``step`` in a file of JSON lines, a half-written last line too: a
    resumed training is going to write it again.  What was noted up to that step stays."""
    if not lines.exists():
        return
    kept = []
    for line in lines.read_text(errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    write_text(lines, "".join(f"{line}\n" for line in kept))

"""Atomic writes, and errors of the file system.

A kill at any moment leaves either the old content of a file or the new content, never a part of one.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO
from zipfile import BadZipFile

from weakspot.errors import StorageError, WeakspotError

TEMPORARY = ".tmp"
"""Suffix of files that are being written; their names begin with a dot."""
LONGEST_STEM = 100
"""Characters of a file's name that the name of its temporary file repeats."""

ALMOST_FULL = 1 << 20
"""In bytes.  If less space than this is free, a write error without a known number is attributed to a full disk."""

SPACE = "free some space, then run the same command again"
ELSEWHERE = "choose a folder that can be written to"
OTHER = "choose another folder"
AGAIN = "run the same command again; finished work is kept"
REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space left on the disk", SPACE),
    errno.EDQUOT: ("the disk quota is used up", SPACE),
    errno.EFBIG: ("the file would be too large for the file system or a limit (ulimit -f)", "choose another disk"),
    errno.EROFS: ("the file system is read-only", ELSEWHERE),
    errno.EACCES: ("writing is not permitted", ELSEWHERE),
    errno.EPERM: ("writing is not permitted", ELSEWHERE),
    errno.EEXIST: ("a file with that name exists", OTHER),
    errno.ENOTDIR: ("a part of its path is a file", OTHER),
    errno.EISDIR: ("a folder has that name", OTHER),
    errno.ENOENT: ("its folder cannot be created there", ELSEWHERE),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "choose a shorter name"),
    errno.ELOOP: ("it is a link, and links are not followed there", "remove the link, or choose another folder"),
    errno.EIO: ("the disk reports an error", "check the disk, then run the same command again"),
    errno.EMFILE: ("the process has too many open files", "raise the limit (ulimit -n), then run the same command again"),
    errno.ENFILE: ("the system has too many open files", AGAIN),
    errno.ENOMEM: ("the system is out of memory", "close other programs, then run the same command again"),
}
"""Description and remedy, by the error number of the operating system."""
SHORT = "requested and"
"""In numpy's error without a number, of an array of which only a part was written: \"5 requested and 3 written\"."""
RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that say nothing about a file: the process or the system has run out of something."""

DAMAGE = (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL)
"""Errors of reading a file that say that it is not what it should be; None is that of a library."""

UNREADABLE_ARRAYS = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)
"""The exceptions that reading a damaged file of arrays can raise."""


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Converts errors of the operating system to a :class:`StorageError` that names ``path`` and what to do.

    Libraries report a full disk in different ways (numpy without an error number, torch as a RuntimeError), so errors
    without a number are attributed to a full disk if little space is free.  All other exceptions pass unchanged.
    """
    try:
        yield
    except WeakspotError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is None:
            if almost_full(path):
                number = errno.ENOSPC
            elif isinstance(error, OSError) and SHORT in str(error):
                number = errno.EFBIG
            else:
                raise
        raise cannot_write(path, number) from error


def cannot_write(path: Path | str, number: int) -> StorageError:
    """The error for a file that cannot be written, from the error number of the operating system."""
    seen, todo = REASONS.get(number, (os.strerror(number), AGAIN))
    return StorageError(f"cannot write {path}: {seen}", expected="a writable folder with free space", todo=todo)


def unreadable(path: Path, error: OSError) -> StorageError:
    """The error for a file that is there but cannot be read, which does not mean that it is damaged."""
    seen, todo = error.strerror or str(error), "check its permissions and disk"
    if error.errno in RESOURCES:
        seen, todo = REASONS[error.errno]
    return StorageError(f"{path} cannot be read: {seen}", expected="a readable file", todo=todo)


def is_damage(error: BaseException) -> bool:
    """Whether an exception of reading a file says something about its content.

    A file that is missing, or of which a library says without an error number that it cannot be read, is damaged; one that
    the system refuses to read, or for which memory or descriptors ran out, is not.
    """
    if isinstance(error, MemoryError):
        return False
    return not isinstance(error, OSError) or error.errno in DAMAGE


def raise_unless_damage(path: Path, error: Exception) -> None:
    """Raises :class:`StorageError` for an exception that says nothing about the content of ``path``; see :func:`is_damage`.

    Raises:
        MemoryError: the error itself.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, OSError) and not is_damage(error):
        raise unreadable(path, error) from error


def refuse_links(root: Path, path: Path) -> None:
    """Raises :class:`StorageError` if ``path`` or a folder between ``root`` and ``path`` is a link.

    Run folders and stores may come from others: a link in them could lead writes to files of the user.
    """
    for part in (path, *path.parents):
        if part == root:
            return
        if part.is_symlink():
            raise cannot_write(part, errno.ELOOP)


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


def temporary_files(folder: Path, name: str = "") -> list[Path]:
    """What interrupted writes left in ``folder``: temporary files for ``name``, or for all names."""
    with storage_errors(folder):
        return sorted(folder.glob(f".{glob.escape(name[:LONGEST_STEM])}.*{TEMPORARY}" if name else f".*{TEMPORARY}"))


def remove_temporary(folder: Path, name: str = "") -> None:
    """Deletes what :func:`temporary_files` finds. Call it only while no other process can write there."""
    for path in temporary_files(folder, name):
        with storage_errors(path):
            path.unlink(missing_ok=True)


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Calls ``write`` with a temporary path in the same folder, flushes the file to the disk, and renames it to ``path``.

    The file gets the permissions that the user's umask leaves.
    """
    with storage_errors(path):
        temporary = _new_file(path)
        try:
            mode = temporary.stat().st_mode
            with storage_errors(path):  # here, while the temporary file still fills the disk
                write(temporary)
            temporary.chmod(mode)  # libraries that replace the file give it others
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _new_file(path: Path) -> Path:
    """An empty file beside ``path``, under a name that no other process uses."""
    while True:
        temporary = path.with_name(f".{path.name[:LONGEST_STEM]}.{secrets.token_hex(4)}{TEMPORARY}")
        try:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
        except FileExistsError:
            continue
        return temporary


def sync_folder(folder: Path) -> None:
    """Flushes the names in ``folder`` to the disk, so that renames survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def open_for_appending(path: Path) -> TextIO:
    """Opens a text file at its end, as UTF-8; creates it, and does not follow a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o666), "a", encoding="utf-8")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes ``content`` to ``path`` atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomic(path, write)


def write_text(path: Path, content: str) -> None:
    """Writes ``content`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, content.encode(errors="backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """Writes ``content`` to ``path`` atomically, as indented JSON; raises ValueError for NaN and infinity."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")

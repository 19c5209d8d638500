"""Locks between processes. The operating system releases the locks of a process when it ends, also after a kill.

A lock file is never truncated, and never opened through a link: it may be a file of somebody else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from weakspot.errors import RunError
from weakspot.system.files import storage_errors

if TYPE_CHECKING:
    from filelock import FileLock


@contextmanager
def exclusive_lock(folder: Path) -> Generator[None]:
    """Holds an exclusive lock on ``folder`` (its file ``.lock``) inside the block, and never waits for it.

    Raises:
        RunError: another process holds the lock.
        StorageError: the lock file cannot be written, or is a link.
    """
    path = folder / ".lock"
    lock = _file_lock(path)
    if not _acquired(lock, path):
        raise RunError(f"another process is working in {folder}", todo="wait for it, or choose another --output")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def waiting_lock(path: Path, waiting: Callable[[], None]) -> Generator[None]:
    """Holds an exclusive lock on the file ``path`` inside the block, after waiting for other processes to release it.

    Args:
        path: the lock file; it is created, and not deleted after the block.
        waiting: called once before waiting, if another process holds the lock.

    Raises:
        StorageError: the lock file cannot be written, or is a link.
    """
    lock = _file_lock(path)
    if not _acquired(lock, path):
        waiting()
        with storage_errors(path):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def lock_if_free(path: Path) -> Generator[bool]:
    """Holds an exclusive lock on the file ``path`` inside the block if it is free; yields whether it was.

    Raises:
        StorageError: the lock file cannot be written, or is a link.
    """
    lock = _file_lock(path)
    acquired = _acquired(lock, path)
    try:
        yield acquired
    finally:
        if acquired:
            lock.release()


def _file_lock(path: Path) -> FileLock:
    """A lock of the operating system (``flock``), released when its process ends; fails if the file system has none."""
    from filelock import FileLock  # imported late: reading a run does not need it

    return FileLock(path, fallback_to_soft=False)


def _acquired(lock: FileLock, path: Path) -> bool:
    """Tries to acquire the lock, without waiting."""
    with storage_errors(path):
        from filelock import Timeout

        _create(path)  # filelock waits forever if the file cannot be created
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
    return True


def _create(path: Path) -> None:
    """Makes sure that the lock file exists and can be opened, without following a link."""
    if not path.is_symlink() and path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    os.close(os.open(path, flags, 0o666))

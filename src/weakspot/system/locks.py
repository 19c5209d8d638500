"""Locks between processes; the operating system releases those of a process that dies."""

from __future__ import annotations

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
    """Holds an exclusive lock on ``folder`` (its file ``.lock``) inside the block, without waiting for it.

    Raises:
        RunError: another process holds the lock.
        StorageError: the lock file cannot be written.
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
    """Holds an exclusive lock on the file ``path`` inside the block, and waits for it as long as somebody else holds it.

    Args:
        path: the lock file; it is created, and stays after the block.
        waiting: called once if the lock is held by somebody else, before the wait.

    Raises:
        StorageError: the lock file cannot be written.
    """
    lock = _file_lock(path)
    if not _acquired(lock, path):
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def lock_if_free(path: Path) -> Generator[bool]:
    """Holds an exclusive lock on the file ``path`` inside the block if nobody else does; yields whether it is held.

    Raises:
        StorageError: the lock file cannot be written.
    """
    lock = _file_lock(path)
    acquired = _acquired(lock, path)
    try:
        yield acquired
    finally:
        if acquired:
            lock.release()


def _file_lock(path: Path) -> FileLock:
    """A lock of the operating system (``flock``), which ends with its process; fails on file systems without such locks."""
    from filelock import FileLock  # not needed to read a run

    return FileLock(path, fallback_to_soft=False)


def _acquired(lock: FileLock, path: Path) -> bool:
    """Tries to acquire the lock, without waiting."""
    with storage_errors(path):
        from filelock import Timeout

        path.touch()  # filelock waits for ever if the file cannot be created
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
    return True

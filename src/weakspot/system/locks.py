"""Locks between processes; the system releases those of a process that dies."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from weakspot.system.files import storage_errors


@contextmanager
def waiting_lock(path: Path, waiting: Callable[[], None]) -> Generator[None]:
    """Holds the lock file ``path``; calls ``waiting`` once and waits if another process holds it.

    Raises:
        StorageError: the file cannot be written.
    """
    lock = FileLock(path)
    with storage_errors(path):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def lock_if_free(path: Path) -> Generator[bool]:
    """Holds the lock file ``path`` if no other process does; yields whether it is held.

    Raises:
        StorageError: the file cannot be written.
    """
    lock = FileLock(path)
    with storage_errors(path), suppress(Timeout):
        lock.acquire(blocking=False)
    try:
        yield lock.is_locked
    finally:
        lock.release()

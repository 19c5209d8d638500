"""Operations of a process on files, as Python announces them before it does them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
NAMING = {"os.rename": 1, "os.mkdir": 0, "os.symlink": 1, "os.remove": 0}
"""Operations on names, and which of their arguments is the name that changes."""


def before_writes(place: str, call: Callable[[str, str], None]) -> None:
    """Calls a function before each operation of this process that changes something below a folder: with the name of the
    operation, and its path. What it raises is what the operation raises. There is no way back for this process.
    """
    pid = os.getpid()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        path = _changed_path(event, arguments)
        if path is not None and path.startswith(place) and os.getpid() == pid:
            call(event, path)

    sys.addaudithook(hook)
    flush = os.fsync

    def fsync(file: int) -> None:
        path = os.readlink(f"/proc/self/fd/{getattr(file, 'fileno', lambda: file)()}")
        if path.startswith(place) and os.getpid() == pid:
            call("fsync", path)
        flush(file)

    os.fsync = fsync


def _changed_path(event: str, arguments: tuple[object, ...]) -> str | None:
    if event in NAMING:
        return str(arguments[NAMING[event]])
    if event != "open" or isinstance(arguments[0], int):
        return None
    path, mode, flags = arguments[:3]
    writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & WRITING)
    return str(path) if writes else None

"""A command as a process: exit codes and memory."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

from weakspot.errors import WeakspotError


def keep_memory() -> None:
    """Tells glibc to keep freed blocks: training frees and asks for the same large ones at every step.

    Handing them back to the system each time costs a fifth of the time.  Does nothing with another C library.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 1 << 26)):  # mmap threshold, trim threshold, top pad
        mallopt(option, value)


def exit_code(work: Callable[[], object]) -> int:
    """Does the work of a process; returns its exit code: 0, 2 for an error of the user's, 130 after Ctrl-C."""
    keep_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        work()
    except WeakspotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; everything finished is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0

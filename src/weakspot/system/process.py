"""Process settings of a command: exit codes and memory."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Callable

from weakspot.errors import WeakspotError


def keep_memory() -> None:
    """Makes glibc keep freed memory: training frees and allocates the same large blocks at every step.

    Returning them to the system each time costs a fifth of the time.  Has no effect with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 1 << 26)):  # mmap threshold, trim threshold, top pad
        mallopt(option, value)


def _format_warning(message: Warning | str, category: type[Warning], *place: object, **line: object) -> str:
    """A warning without the place in the code that raised it."""
    return f"warning: {message}\n"


def exit_code(work: Callable[[], object]) -> int:
    """Does the work of a command. Returns the exit code: the one that the work returns, or 0; 2 after a
    :class:`WeakspotError`, 130 after Ctrl-C."""
    keep_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.formatwarning = _format_warning
    try:
        result = work()
    except WeakspotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; finished work is kept, and the same command resumes", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0

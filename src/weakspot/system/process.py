"""Process settings of a command: exit codes, signals and memory."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

from weakspot.errors import StorageError, WeakspotError
from weakspot.system.files import REASONS
from weakspot.system.terminal import abandon_output, finish_output, prepare_streams, printable, write_error

STOPPED = "stopped; finished work is kept, and the same command resumes"
INTERRUPTED = 130
"""Exit code after Ctrl-C, SIGTERM and SIGHUP."""
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "can't start new thread")
"""Parts of the messages with which libraries say in a RuntimeError that a resource has run out."""


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
    return f"warning: {printable(str(message))}\n"


@contextmanager
def _stopped_by_signals() -> Generator[None]:
    """Lets signals stop the block, if this is the main thread, which alone can receive them.

    After a signal, another one ends the process at once, also while it shuts down.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in _signals()}
    stopped = False
    try:
        yield
    except KeyboardInterrupt:
        stopped = True
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, _end if stopped else handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Stops the command; a second signal ends the process at once, as a kill does."""
    for other in _signals():
        signal.signal(other, _end)
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _signals() -> list[signal.Signals]:
    """The signals that stop a command, except those that the caller ignores, as nohup does."""
    stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in stopping if signal.getsignal(number) != signal.SIG_IGN]


def exit_code(work: Callable[[], object]) -> int:
    """Does the work of a command. Returns the exit code: the one that the work returns, or 0; 1 if the reader of the output
    has ended; 2 after a :class:`WeakspotError` and after any error of the operating system; 130 after Ctrl-C, SIGTERM and
    SIGHUP."""
    keep_memory()
    prepare_streams()
    warnings.formatwarning = _format_warning
    try:
        with _stopped_by_signals():
            result = work()
        finish_output()
    except WeakspotError as error:
        return _fail(error)
    except KeyboardInterrupt as stopped:
        write_error(f"\n{stopped.args[0] if stopped.args else STOPPED}")
        return INTERRUPTED
    except BrokenPipeError:
        abandon_output()
        return 1
    except OSError as error:
        return _fail(_system_error(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or any(part in str(error) for part in OUT_OF_MEMORY):
            return _fail(_out_of_memory(error))
        raise
    return result if isinstance(result, int) else 0


def _fail(error: WeakspotError) -> int:
    write_error(f"error: {error}")
    try:
        finish_output()
    except (WeakspotError, OSError):
        abandon_output()
    return 2


def _system_error(error: OSError) -> StorageError:
    """The error for a call of the operating system that failed where no one expected it."""
    seen, todo = REASONS.get(
        error.errno or 0, (error.strerror or str(error), "check the file, its permissions and its disk")
    )
    place = f"{error.filename}: " if error.filename is not None else ""
    return StorageError(f"{place}{seen} ({type(error).__name__})", expected="files that can be read and written", todo=todo)


def _out_of_memory(error: Exception) -> WeakspotError:
    detail = " ".join(str(error).split())[:200]
    return WeakspotError(
        f"memory or another resource of the process has run out{f': {detail}' if detail else ''}",
        expected="enough memory and threads for the settings",
        todo="close other programs, raise the limits (ulimit), or lower --collect.frames, --train.batch-size and "
        "--synthesize.candidates; finished work is kept",
    )

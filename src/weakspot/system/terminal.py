"""Text for the terminal: what stands in a file cannot control it, and output that cannot be written is an error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

from weakspot.system.files import cannot_write


def printable(text: str) -> str:
    """The text with everything that a terminal does not print, such as control characters, as escapes; lines are kept."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def prepare_streams() -> None:
    """Lets characters that the encoding of the terminal lacks appear as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # it is closed: what is written to it later fails in the usual way
                stream.reconfigure(errors="backslashreplace")


def write_line(text: str) -> None:
    """Prints one line on the standard output.

    Raises:
        StorageError: it cannot be written, such as to a file on a full disk.
        BrokenPipeError: its reader has ended.
    """
    try:
        print(printable(text), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write("the standard output", error.errno or 0) from error


def write_error(text: str) -> None:
    """Prints a text on the standard error output, if anybody can read it."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _abandon(sys.stderr)


def finish_output() -> None:
    """Writes what is left in the buffer of the standard output.

    Raises:
        StorageError, BrokenPipeError: as :func:`write_line`.
    """
    if sys.stdout is None or sys.stdout.closed:  # pyright: ignore[reportUnnecessaryComparison]  (closed by the caller)
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write("the standard output", error.errno or 0) from error


def abandon_output() -> None:
    """Sends everything that is still printed to nowhere, so that the end of the process does not fail on it."""
    _abandon(sys.stdout)


def _abandon(stream: TextIO | None) -> None:
    try:
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):  # closed, or not a file
        return

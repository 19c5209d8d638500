"""The metrics of a training: a file of JSON lines, one line per measurement, each with its ``step`` and a checksum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from weakspot.errors import LeftoverError
from weakspot.system.checksums import take_checksum, with_checksum
from weakspot.system.files import open_for_appending, storage_errors, unreadable, write_text


def append_metrics(path: Path, line: Mapping[str, Any]) -> None:
    """Appends ``line`` to the file ``path``.

    Raises:
        StorageError: the disk is full or read-only, or the file is a link.
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(with_checksum(line), allow_nan=False)
    with storage_errors(path), open_for_appending(path) as file:
        file.write(f"{text}\n")


def read_line(line: bytes | str) -> dict[str, Any]:
    """The entries of a line, without the checksum; a line without one, as other programs write it, is taken as it is.

    Raises:
        ValueError: the line is incomplete or was changed after it was written.
    """
    try:
        entries = json.loads(line)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(entries, dict):
        raise ValueError(f"it holds a {type(entries).__name__}")
    fields = cast("dict[str, Any]", entries)
    if take_checksum(fields) is False:
        raise ValueError("it does not match its checksum")
    return fields


def drop_metrics_after(path: Path, step: int, lines: int | None = None) -> None:
    """Drops the lines of steps after ``step``, an incomplete last line, and all but the first ``lines`` others if given.

    A training that resumes from its checkpoint of ``step`` writes the later lines again.  Does nothing if there is no file.

    Raises:
        LeftoverError: another line is damaged.
        StorageError: the file cannot be read or written.
    """
    try:
        found = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(path, error) from error
    kept: list[str] = []
    for number, line in enumerate(found, start=1):
        try:
            if read_line(line)["step"] <= step:
                kept.append(line.decode())
        except (ValueError, KeyError, TypeError) as error:
            if number < len(found):
                raise LeftoverError(
                    f"line {number} of {path} is damaged: {error}",
                    expected="the lines that the training wrote",
                    todo=f"delete {path.parent} to restart the training",
                ) from error
    write_text(path, "".join(f"{line}\n" for line in kept[:lines]))

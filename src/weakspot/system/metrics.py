"""The metrics of a training: a file of JSON lines, one line per measurement, each with its ``step``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weakspot.system.files import storage_errors, write_text


def append_metrics(path: Path, line: Mapping[str, Any]) -> None:
    """Appends ``line`` to the file ``path``.

    Raises:
        StorageError: the disk is full or read-only.
        ValueError: a number is NaN or infinite.
    """
    with storage_errors(path), open(path, "a") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")


def drop_metrics_after(path: Path, step: int) -> None:
    """Drops the lines of steps after ``step``, and incomplete lines.

    A training that resumes from its checkpoint of ``step`` writes the later lines again.  Does nothing if there is no file.
    """
    if not path.exists():
        return
    lines = [line for line in path.read_text(errors="replace").splitlines() if _is_up_to(line, step)]
    write_text(path, "".join(f"{line}\n" for line in lines))


def _is_up_to(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        return False

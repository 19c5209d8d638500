"""Changes records of runs and results, which carry checksums."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weakspot.run.records import write_record
from weakspot.system.checksums import CHECKSUM


def change_record(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Replaces the fields of a record by what ``change`` makes of them, with the right checksum."""
    fields = json.loads(path.read_text())
    del fields[CHECKSUM]
    write_record(path, change(fields))

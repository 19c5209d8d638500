"""Named arrays in npz files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from weakspot.system.files import write_atomic


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Writes named arrays to a compressed npz file, atomically."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomic(path, write)

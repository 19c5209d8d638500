"""What a result was made by: digests of settings and files, and package versions."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("weakspot", "torch", "numpy", "ale-py")


def digest(*parts: Any) -> str:
    """A short hash over plain data."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """A short hash over a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def versions() -> dict[str, str]:
    """Those of Python and of the packages that decide what comes out of a run."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}

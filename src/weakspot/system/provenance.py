"""Provenance of results: digests of settings and files, and package versions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

PACKAGES = ("weakspot", "torch", "numpy", "ale-py")
"""Packages whose versions are recorded with every result."""
SOURCES = (".py", ".j2", ".css", ".js")
"""Suffixes of source files."""


def digest(*parts: Any) -> str:
    """A short hash of plain data: 16 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """A short hash of the content of a file: 16 hexadecimal digits."""
    return full_file_digest(path)[:16]


def full_file_digest(path: Path) -> str:
    """The SHA-256 of the content of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(*packages: str) -> str:
    """A short hash of the source files of subpackages of weakspot, such as ``agents``."""
    root = Path(__file__).parent.parent
    files = sorted(path for name in packages for path in (root / name).rglob("*") if path.suffix in SOURCES)
    return digest([[str(path.relative_to(root)), file_digest(path)] for path in files])


def public_version(package: str) -> str:
    """The installed version of a package without its local part, such as ``+cpu``; empty if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # imported late: slow, and not needed to read a run

    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return ""


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that determine the results of a run."""
    import platform
    from importlib.metadata import version

    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}

"""Records in JSON: the results of experiments and benchmarks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from weakspot.errors import ConfigError
from weakspot.system.files import make_folder, write_json, write_text
from weakspot.system.locks import waiting_lock
from weakspot.system.provenance import digest, file_digest, versions


def save_record(path: Path, record: Any) -> None:
    """Writes a record as JSON, atomically, and makes its folder if there is none.

    Raises:
        StorageError: the file cannot be written.
    """
    make_folder(path.parent)
    write_json(path, record)


def save_text(path: Path, text: str) -> None:
    """Writes a text file, atomically, and makes its folder if there is none; raises :class:`StorageError`."""
    make_folder(path.parent)
    write_text(path, text)


def read_record(path: Path) -> dict[str, Any]:
    """The record in a file that an experiment wrote.

    Raises:
        ConfigError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", expected="JSON that an experiment wrote", todo="run the experiment again"
        ) from error


def earlier_record(path: Path) -> dict[str, Any]:
    """The record that an earlier attempt wrote; empty if there is none or it is damaged."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


@contextmanager
def changed_record(path: Path) -> Generator[dict[str, Any]]:
    """The record in a file, or an empty one, which is written after the block; other processes wait until then.

    Raises:
        StorageError: the file cannot be written.
    """
    make_folder(path.parent)
    with waiting_lock(Path(tempfile.gettempdir()) / f"{digest(str(path.resolve()))}.lock", lambda: None):
        record = earlier_record(path)
        yield record
        save_record(path, record)


def result_folder(path: Path) -> Path:
    """Makes a folder and its parents, and returns its path; raises :class:`StorageError` if it cannot be written."""
    return make_folder(path)


def short_digest(*parts: Any) -> str:
    """A short hash of plain data, for file names."""
    return digest(*parts)


def digest_of(path: Path) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a file."""
    return file_digest(path)


def all_versions() -> dict[str, str]:
    """The versions of everything that results depend on."""
    return versions()


def package_versions(*packages: str) -> dict[str, str]:
    """The installed version of each package."""
    return {name: version(name) for name in packages}

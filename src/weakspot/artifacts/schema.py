"""Artifacts in JSON: a dataclass for each, with the version of its schema in the file, validated by msgspec.

A file holds the fields of the dataclass and ``schema``, the version that wrote it. A reader refuses a newer version, and any
file whose fields are missing or of another type.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from weakspot.errors import RunError, SchemaError
from weakspot.system.files import write_json

AGAIN = "run the same command again; only the stage that writes it is repeated"


class Artifact(Protocol):
    """A dataclass that is stored as JSON."""

    SCHEMA: ClassVar[int]
    """Version of its fields; raise it when they change."""


class _Version(msgspec.Struct):
    """The field that every file has."""

    schema: int


A = TypeVar("A", bound=Artifact)
T = TypeVar("T")


def damaged(path: Path, seen: str, expected: str, todo: str = AGAIN) -> RunError:
    """The error for a file that is damaged, or that something else wrote."""
    return RunError(f"{path} is damaged: {seen}", expected=expected, todo=f"delete {path} and {todo}")


def write_artifact(path: Path, artifact: Artifact) -> None:
    """Writes the artifact as JSON, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    fields: dict[str, Any] = msgspec.to_builtins(artifact)
    write_json(path, {"schema": artifact.SCHEMA, **fields})


def read_artifact(path: Path, kind: type[A]) -> A:
    """Reads an artifact that :func:`write_artifact` wrote.

    Raises:
        SchemaError: a newer version of weakspot wrote it.
        RunError: it is missing or damaged.
    """
    content = read_bytes(path)
    version = _decoded(path, content, _Version).schema
    if version > kind.SCHEMA:
        raise SchemaError(
            f"{path} has schema {version} of a newer weakspot",
            expected=f"schema {kind.SCHEMA} or older",
            todo="upgrade weakspot, or choose another --output and --store",
        )
    return _decoded(path, content, kind)


def read_bytes(path: Path) -> bytes:
    """The content of an artifact's file; raises :class:`RunError` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise damaged(path, error.strerror or str(error), "a file that weakspot wrote") from error


def _decoded(path: Path, content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise damaged(path, str(error), f"the fields of {kind.__name__.lstrip('_')} as JSON") from error

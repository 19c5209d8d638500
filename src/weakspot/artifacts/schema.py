"""Artifacts in JSON: one dataclass each, validated by msgspec.

A file contains the fields of the dataclass and ``schema``, the version of these fields. Readers reject newer versions, and
files in which a field is missing or has another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from weakspot.errors import RunError, SchemaError
from weakspot.run.records import newer_schema
from weakspot.run.verified import verify_file
from weakspot.system.files import raise_unless_damage, write_json

RERUN = "run the same command again; only the stage that writes it is repeated"


class Artifact(Protocol):
    """A dataclass that is stored as JSON."""

    SCHEMA: ClassVar[int]
    """Version of its fields; raise it when they change."""


class _Version(msgspec.Struct):
    """The field that all files have."""

    schema: int


A = TypeVar("A", bound=Artifact)
T = TypeVar("T")


def damaged(path: Path, seen: str, expected: str, todo: str = RERUN) -> RunError:
    """The error for a file that is damaged or was written by another program."""
    return RunError(f"{path} is damaged: {seen}", expected=expected, todo=f"delete {path} and {todo}")


def write_artifact(path: Path, artifact: Artifact) -> None:
    """Writes the artifact as JSON, atomically.

    Raises:
        RunError: a field has another type, is out of range, NaN or infinite.
        StorageError: the file cannot be written.
    """
    fields: dict[str, Any] = msgspec.to_builtins(artifact)
    check_fields(path, fields, type(artifact))
    write_fields(path, {"schema": artifact.SCHEMA, **fields})


def read_artifact(path: Path, kind: type[A]) -> A:
    """Reads an artifact that :func:`write_artifact` wrote.

    Raises:
        SchemaError: a newer version of weakspot wrote it.
        RunError: it is missing or damaged.
    """
    content = read_bytes(path)
    check_schema(path, decode(path, content, _Version).schema, kind)
    return decode(path, content, kind)


def check_schema(path: Path, version: int, kind: type[Artifact]) -> None:
    """Raises :class:`SchemaError` if ``version`` is not the one of ``kind``."""
    if version > kind.SCHEMA:
        raise newer_schema(path, version, f"schema {kind.SCHEMA}", "--output and --store")
    if version < kind.SCHEMA:
        raise SchemaError(
            f"{path} has schema {version} of an older weakspot",
            expected=f"schema {kind.SCHEMA}",
            todo=RERUN,
        )


def check_fields(path: Path, fields: Mapping[str, Any], kind: type[Artifact]) -> None:
    """Raises :class:`RunError` if these fields cannot be read as ``kind``."""
    try:
        msgspec.convert(fields, type=kind)
        msgspec.json.encode(fields)  # fails for text that no file in UTF-8 can hold
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise _not_written(path, str(error), f"the fields of {kind.__name__}") from error


def write_fields(path: Path, fields: Mapping[str, Any]) -> None:
    """Writes plain data as JSON, atomically; raises :class:`RunError` if it contains NaN or infinity."""
    try:
        write_json(path, fields)
    except ValueError as error:
        raise _not_written(path, str(error), "finite numbers") from error


def read_bytes(path: Path) -> bytes:
    """The content of an artifact's file, compared with its recorded digest.

    Raises:
        DamagedResultError: it has changed.
        RunError: it is missing.
        StorageError: it cannot be read.
    """
    verify_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise_unless_damage(path, error)
        raise damaged(path, error.strerror or str(error), "a file that weakspot wrote") from error


def decode(path: Path, content: bytes, kind: type[T]) -> T:
    """The JSON ``content`` of ``path`` as an object of ``kind``; raises :class:`RunError` if it is not valid."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(path, str(error), f"the fields of {kind.__name__.lstrip('_')} as JSON") from error


def _not_written(path: Path, seen: str, expected: str) -> RunError:
    return RunError(f"{path} was not written: {seen}", expected=expected, todo="report this as a bug of the stage")

"""Records of the run folder and the store: JSON with a schema version and a checksum, validated by msgspec."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from weakspot.errors import SchemaError
from weakspot.system.checksums import take_checksum, with_checksum
from weakspot.system.files import write_json

R = TypeVar("R")


class _Version(msgspec.Struct):
    schema: int


def newer_schema(path: Path, version: int, expected: str, choose: str) -> SchemaError:
    """The error for a file that a newer version of weakspot wrote."""
    return SchemaError(
        f"{path} has schema {version} of a newer weakspot",
        expected=expected,
        todo=f"upgrade weakspot, or choose another {choose}",
    )


def write_record(path: Path, record: Any) -> None:
    """Writes a record with its checksum, atomically; :func:`decode_record` reads it.

    Raises:
        StorageError: the file cannot be written.
    """
    fields: dict[str, Any] = msgspec.to_builtins(record, str_keys=True)
    write_json(path, with_checksum(fields))


def decode_record(path: Path, content: bytes, kind: type[R], schema: int, choose: str) -> R:
    """The record that ``path`` contains.

    Raises:
        SchemaError: its schema is newer than ``schema``; the message says to upgrade, or to choose other ``choose``.
        msgspec.DecodeError: it is damaged, or was changed after it was written.
    """
    version = msgspec.json.decode(content, type=_Version).schema
    if version > schema:
        raise newer_schema(path, version, f"schema {schema} or older", choose)
    return decode_checked(content, kind)


def decode_checked(content: bytes, kind: type[R]) -> R:
    """The record in ``content``; raises :class:`msgspec.DecodeError` if it is damaged or does not match its checksum."""
    try:
        fields = msgspec.json.decode(content, type=dict[str, Any])
        if not take_checksum(fields):
            raise msgspec.ValidationError("its content does not match its checksum")
        return msgspec.convert(fields, type=kind)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error

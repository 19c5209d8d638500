"""Records of the run folder and the store: JSON with a schema version, validated by msgspec."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from weakspot.errors import SchemaError

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


def decode_record(path: Path, content: bytes, kind: type[R], schema: int, choose: str) -> R:
    """The record that ``path`` contains.

    Raises:
        SchemaError: its schema is newer than ``schema``; the message says to upgrade, or to choose other ``choose``.
        msgspec.DecodeError: it is damaged.
    """
    version = msgspec.json.decode(content, type=_Version).schema
    if version > schema:
        raise newer_schema(path, version, f"schema {schema} or older", choose)
    return msgspec.json.decode(content, type=kind)

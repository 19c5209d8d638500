"""The file format of environment snapshots: a JSON header and named byte strings, under one SHA-256.

An emulator accepts a damaged state without an error, so the checksum is compared before the emulator gets anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from weakspot.errors import SnapshotError

MAGIC = b"weakspot snapshot 1\n"
_DIGEST_SIZE = hashlib.sha256().digest_size
_LENGTH_SIZE = 8


def pack(header: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """Bytes that hold the ``header`` (JSON values only) and the named ``parts``."""
    table = {"header": dict(header), "parts": {name: len(part) for name, part in parts.items()}}
    encoded = json.dumps(table, allow_nan=False).encode()
    body = b"".join([len(encoded).to_bytes(_LENGTH_SIZE, "little"), encoded, *parts.values()])
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack_for(settings: Any, snapshot: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Like :func:`unpack`, for a snapshot whose header must hold these ``settings``.

    Raises:
        SnapshotError: the bytes are damaged, or from an environment of another kind or with other settings.
    """
    header, parts = unpack(snapshot)
    if header["settings"] != settings:
        raise SnapshotError(
            f"a snapshot of {json.dumps(header['settings'])}",
            expected=json.dumps(settings),
            todo="restore it into an environment with the same settings",
        )
    return header, parts


def unpack(snapshot: object) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The header and the parts that were given to :func:`pack`.

    Raises:
        SnapshotError: the bytes are truncated, changed, or no snapshot at all.
    """
    if not isinstance(snapshot, bytes):
        raise SnapshotError(f"a snapshot that is {snapshot!r}", expected="bytes exactly as snapshot() returned them")
    start = len(MAGIC) + _DIGEST_SIZE
    body = snapshot[start:]
    if snapshot[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != snapshot[len(MAGIC) : start]:
        raise SnapshotError(
            f"an environment snapshot of {len(snapshot)} bytes does not match its checksum",
            expected="bytes exactly as snapshot() returned them",
            todo="collect the states again, or take an undamaged copy of the folder",
        )
    offset = _LENGTH_SIZE + int.from_bytes(body[:_LENGTH_SIZE], "little")
    table = json.loads(body[_LENGTH_SIZE:offset])
    parts: dict[str, bytes] = {}
    for name, length in table["parts"].items():
        parts[name] = body[offset : offset + length]
        offset += length
    return table["header"], parts

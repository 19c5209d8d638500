"""Checksums inside records: an entry with the digest of all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weakspot.system.provenance import digest

CHECKSUM = "checksum"
"""The entry with the digest of the others."""


def with_checksum(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The entries and their checksum."""
    return {**fields, CHECKSUM: digest(dict(fields))}


def take_checksum(fields: dict[str, Any]) -> bool | None:
    """Removes the checksum from the entries; returns whether it is theirs, and None if there is none."""
    if CHECKSUM not in fields:
        return None
    return fields.pop(CHECKSUM) == digest(fields)

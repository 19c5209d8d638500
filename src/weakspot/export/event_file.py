"""Event files of TensorBoard: scalars and images, without the library.

A file is a series of records: length (8 bytes), its checksum, content, its checksum; all little-endian.  A checksum is a
CRC-32C, rotated right by 15 bits, plus a constant.  The content is an ``Event`` in protocol buffers:

    Event   = 1: wall time (double), 2: step (int64), 3: version of the file (string), 5: Summary
    Summary = 1: Value, any number
    Value   = 1: tag (string), 2: number (float), 4: Image
    Image   = 1: height, 2: width, 3: number of channels, 4: a PNG
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

POLYNOMIAL, MASK = 0x82F63B78, 0xA282EAD8


@dataclass(frozen=True)
class Scalar:
    """A number at a step of a curve."""

    tag: str
    step: int
    value: float


@dataclass(frozen=True)
class Picture:
    """A PNG at a step, with its size in pixels and its number of channels."""

    tag: str
    step: int
    png: bytes
    height: int
    width: int
    channels: int = 3


def event_file(entries: Iterable[Scalar | Picture], wall_time: float) -> bytes:
    """The content of an event file; its name has to begin with ``events.out.tfevents``.

    Args:
        entries: scalars and images.
        wall_time: seconds since 1970, given to all of them.
    """
    events = [_double(1, wall_time) + _bytes(3, b"brain.Event:2")]
    for entry in entries:
        value = _bytes(1, entry.tag.encode())
        if isinstance(entry, Scalar):
            value += _key(2, 5) + struct.pack("<f", entry.value)
        else:
            sizes = _whole(1, entry.height) + _whole(2, entry.width) + _whole(3, entry.channels)
            value += _bytes(4, sizes + _bytes(4, entry.png))
        events.append(_double(1, wall_time) + _whole(2, entry.step) + _bytes(5, _bytes(1, value)))
    return b"".join(_record(event) for event in events)


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)


def _table() -> tuple[int, ...]:
    table: list[int] = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (POLYNOMIAL if number & 1 else 0)
        table.append(number)
    return tuple(table)


_TABLE = _table()


def crc32c(content: bytes) -> int:
    """The CRC-32C (Castagnoli) of bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _varint(value: int) -> bytes:
    parts: list[int] = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _whole(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _key(field, 1) + struct.pack("<d", value)


def _bytes(field: int, content: bytes) -> bytes:
    return _key(field, 2) + _varint(len(content)) + content

"""How many bytes of an ONNX file are not numbers of its weights, counted before the file is parsed.

Numbers take about as much memory as they take in the file.  Everything else takes up to a hundred times as much once it is
parsed: an empty node is two bytes in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

GRAPH, INITIALIZER = 7, 5
"""Numbers of the fields that hold the graph of a model, and the weights of a graph."""
NUMBERS = frozenset({4, 5, 7, 9, 10})
"""Numbers of the fields of a tensor that hold its numbers: float, int32, int64, raw and double data."""
MOST_ENTRIES = 100_000
"""Fields of a graph and of its weights."""
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
"""Kinds of fields: a number of variable length, eight bytes, bytes with their length, four bytes."""


def structure_bytes(content: bytes) -> int:
    """The bytes of a file that are not numbers of its weights.

    Raises:
        ValueError: the file is damaged, or has too many parts.
    """
    numbers, entries = 0, 0
    for field, start, end in _fields(content, 0, len(content)):
        if field != GRAPH:
            continue
        for part, begin, stop in _fields(content, start, end):
            sizes = list(islice(_numbers(content, begin, stop), MOST_ENTRIES)) if part == INITIALIZER else []
            numbers, entries = numbers + sum(sizes), entries + 1 + len(sizes)
            if entries > MOST_ENTRIES:
                raise ValueError(f"it has more than {MOST_ENTRIES:,} nodes, weights and parts of them")
    return len(content) - numbers


def _numbers(content: bytes, start: int, end: int) -> Iterator[int]:
    """For each field of a tensor, the bytes of numbers in it."""
    return (last - first if field in NUMBERS else 0 for field, first, last in _fields(content, start, end))


def _fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message: their numbers, and where their contents begin and end."""
    while start < end:
        key, start = _varint(content, start, end)
        kind = key & 7
        if kind == VARINT:
            after = _varint(content, start, end)[1]
        elif kind == BYTES:
            length, start = _varint(content, start, end)
            after = start + length
        elif kind in (EIGHT, FOUR):
            after = start + (8 if kind == EIGHT else 4)
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if after > end:
            raise ValueError("it ends in the middle of a field")
        yield key >> 3, start, after
        start = after


def _varint(content: bytes, start: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for place in range(start, min(start + 10, end)):
        value |= (content[place] & 127) << 7 * (place - start)
        if content[place] < 128:
            return value, place + 1
    raise ValueError("it ends in the middle of a number")

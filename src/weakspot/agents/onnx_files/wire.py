"""What an ONNX file holds, counted before the file is parsed.

The numbers of weights take as much memory as they take in the file, except small types and those of variable length: there a
byte becomes eight.  Everything else takes up to a hundred times as much once it is parsed: an empty node is two bytes in the
file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from weakspot.agents.onnx_files.graph import MOST_DIMENSIONS

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
"""Kinds of fields: a number of variable length, eight bytes, bytes with their length, four bytes."""
MOST_ENTRIES = 300_000
"""Fields of all parts of a file."""
MOST_VARIABLE = 1 << 20
"""Bytes of all numbers of variable length in weights."""
LARGEST_RATIO, SPARE = 2, 1 << 24
"""Weights may take so many times the bytes of their file, and so many bytes more, once each has the type in which it is
computed."""

TEXT = "text"
"""Fields whose bytes have no parts."""
NUMBERS, VARIABLE = "numbers", "numbers of variable length"
"""Fields with the numbers of a weight."""
Schema: TypeAlias = Mapping[int, "Schema | str"]
"""What the fields of a part of a file are, by their numbers.

Bytes of other fields count as if they were parts of two bytes: they may be graphs or functions, which no network here needs.
"""

ENTRY: Schema = {1: TEXT, 2: TEXT}
TENSOR: Schema = {4: NUMBERS, 5: VARIABLE, 7: VARIABLE, 8: TEXT, 9: NUMBERS, 10: NUMBERS, 12: TEXT, 13: ENTRY, 16: ENTRY}
SMALL_TENSOR: Schema = {**TENSOR, 4: TEXT, 9: TEXT, 10: TEXT}
"""A tensor in a node: it is no weight."""
ATTRIBUTE: Schema = {1: TEXT, 4: TEXT, 5: SMALL_TENSOR, 9: TEXT, 13: TEXT, 21: TEXT}
NODE: Schema = {1: TEXT, 2: TEXT, 3: TEXT, 4: TEXT, 5: ATTRIBUTE, 6: TEXT, 7: TEXT, 8: TEXT, 9: ENTRY}
TYPE: Schema = {1: {2: {1: {2: TEXT, 3: TEXT}}}, 6: TEXT}
VALUE: Schema = {1: TEXT, 2: TYPE, 3: TEXT, 4: ENTRY}
GRAPH: Schema = {1: NODE, 2: TEXT, 5: TENSOR, 10: TEXT, 11: VALUE, 12: VALUE, 13: VALUE, 16: ENTRY}
MODEL: Schema = {2: TEXT, 3: TEXT, 4: TEXT, 6: TEXT, 7: GRAPH, 8: {1: TEXT}, 14: ENTRY}
DIMS, KIND = 1, 2
"""Fields of a tensor: a size, and the type of its numbers."""
COMPUTED = {9: 1, 1: 4, 10: 4, 11: 4, 16: 4}
"""Bytes of a number as it is computed, by its type in ONNX; whole numbers have eight."""


@dataclass
class Counts:
    """What was counted so far.

    Attributes:
        numbers: bytes of numbers of weights.
        variable: bytes of those that are of variable length.
        entries: fields.
        computed: bytes that all tensors take once they are read.
    """

    numbers: int = 0
    variable: int = 0
    entries: int = 0
    computed: int = 0

    def add(self, entries: int) -> None:
        """Counts fields."""
        self.entries += entries
        if self.entries > MOST_ENTRIES:
            raise ValueError(f"it has more than {MOST_ENTRIES:,} nodes, weights and parts of them")


@dataclass
class _Tensor:
    """The sizes of a tensor and the type of its numbers, as far as they were read."""

    kind: int = 0
    sizes: list[int] = field(default_factory=list[int])


def structure_bytes(content: bytes) -> int:
    """The bytes of a file that are not numbers of its weights.

    Raises:
        ValueError: the file is damaged, has too many parts, or its weights would take much more memory than the file.
    """
    counts = Counts()
    _count(content, 0, len(content), MODEL, counts)
    if counts.variable > MOST_VARIABLE:
        raise ValueError(f"its weights have {counts.variable:,} bytes of variable length, more than {MOST_VARIABLE:,}")
    if counts.computed > LARGEST_RATIO * len(content) + SPARE:
        raise ValueError(f"its weights would take {min(counts.computed, 1 << 62):,} bytes or more")
    return len(content) - counts.numbers


def _count(content: bytes, start: int, end: int, schema: Schema, counts: Counts) -> None:
    """Counts the fields of a part of a file, and those of their parts."""
    tensor = _Tensor() if schema is TENSOR or schema is SMALL_TENSOR else None
    for number, kind, begin, stop in _fields(content, start, end):
        counts.add(1)
        part = schema.get(number) if kind == BYTES else TEXT
        if part is None:
            counts.add((stop - begin) // 2)
        elif not isinstance(part, str):
            _count(content, begin, stop, part, counts)
        elif part != TEXT:
            counts.numbers += stop - begin
            counts.variable += stop - begin if part == VARIABLE else 0
        if tensor is not None and number == DIMS and kind in (VARINT, BYTES):
            tensor.sizes += _varints(content, begin, stop)
        elif tensor is not None and number == KIND and kind == VARINT:
            tensor.kind = _varint(content, begin, stop)[0]
    if tensor is not None:
        counts.computed += COMPUTED.get(tensor.kind, 8) * math.prod(tensor.sizes[:MOST_DIMENSIONS])


def _fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message: their numbers, their kinds, and where their contents begin and end."""
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
        yield key >> 3, kind, start, after
        start = after


def _varints(content: bytes, start: int, end: int) -> Iterator[int]:
    """The numbers of a field that has one or several of them."""
    while start < end:
        value, start = _varint(content, start, end)
        yield value


def _varint(content: bytes, start: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for place in range(start, min(start + 10, end)):
        value |= (content[place] & 127) << 7 * (place - start)
        if content[place] < 128:
            return value, place + 1
    raise ValueError("it ends in the middle of a number")

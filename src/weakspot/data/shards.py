"""File format of stored states: a folder with ``meta.json`` and shards, each of which holds some steps of all streams.

Shard s holds the steps [s T, (s + 1) T) of every stream in three files.  A fourth file is written last and marks the shard
as complete; it holds the checksums of the others and everything needed to continue after the shard:

    frames-00000.npy     (E, T, h, w, 3) uint8, the newest colour frame before each step
    steps-00000.npz      one array (E, T, ...) per column
    snapshots-00000.bin  environment snapshots, concatenated
    shard-00000.json     :class:`ShardIndex`
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
import numpy as np

from weakspot.errors import DatasetError, SnapshotError
from weakspot.run.records import decode_checked, write_record
from weakspot.run.verified import verify_file
from weakspot.system.files import UNREADABLE_ARRAYS, raise_unless_damage, unreadable, write_atomic
from weakspot.system.npz import read_npz

FORMAT = "weakspot states"
VERSION = 3
COLLECT_AGAIN = "collect the states again, or take an undamaged copy of the folder"


@dataclass(frozen=True)
class SnapshotEntry:
    """Position of a snapshot in the shard's snapshot file.

    Attributes:
        stream, time: the state it belongs to; ``time`` counts the stream's steps from 0.
        offset, length: in bytes.
        sha256: of its bytes.
    """

    stream: int
    time: int
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """The index of a complete shard.

    Attributes:
        start, stop: range of the steps it holds, of each stream.
        sizes, crc32: size in bytes and checksum of each of its files.  The checksum only protects against accidents, and
            SHA-256 would slow the collection down.
        snapshots: of states inside the shard.
        resume: one snapshot per stream, of the state right after the shard.
        ages: steps since the start of the episode, for the states right after the shard.
        generator: the action generator's state after the shard, as hexadecimal digits.
    """

    start: int
    stop: int
    sizes: dict[str, int]
    crc32: dict[str, int]
    snapshots: list[SnapshotEntry]
    resume: list[SnapshotEntry]
    ages: list[int]
    generator: str


def frames_file(shard: int) -> str:
    """Name of a shard's frame file."""
    return f"frames-{shard:05d}.npy"


def steps_file(shard: int) -> str:
    """Name of a shard's column file."""
    return f"steps-{shard:05d}.npz"


def snapshots_file(shard: int) -> str:
    """Name of a shard's snapshot file."""
    return f"snapshots-{shard:05d}.bin"


def index_file(shard: int) -> str:
    """Name of a shard's index file, which marks it as complete."""
    return f"shard-{shard:05d}.json"


@dataclass(frozen=True)
class ShardContent:
    """A shard before it is written; see :class:`ShardIndex`.

    Attributes:
        start: first step.
        frames: (E, T, h, w, 3) uint8.
        columns: arrays (E, T, ...).
        snapshots: by (stream, time).
        resume: one snapshot per stream, of the state right after the shard.
        ages, generator: as in :class:`ShardIndex`.
    """

    start: int
    frames: np.ndarray
    columns: Mapping[str, np.ndarray]
    snapshots: Mapping[tuple[int, int], bytes]
    resume: list[bytes]
    ages: list[int]
    generator: str


def write_shard(folder: Path, shard: int, content: ShardContent) -> None:
    """Writes a shard, its index last.

    Raises:
        StorageError: the disk is full or read-only.
    """
    stop = content.start + content.frames.shape[1]
    snapshots = list(content.snapshots.items()) + [((e, stop), part) for e, part in enumerate(content.resume)]
    entries: list[SnapshotEntry] = []
    offset = 0
    for (stream, time), part in snapshots:
        entries.append(SnapshotEntry(stream, time, offset, len(part), hashlib.sha256(part).hexdigest()))
        offset += len(part)
    sizes: dict[str, int] = {}
    checksums: dict[str, int] = {}

    def write(name: str, fill: Callable[[BinaryIO], None]) -> None:
        def write_and_sum(path: Path) -> None:
            with open(path, "wb") as file:
                fill(file)
            sizes[name], checksums[name] = path.stat().st_size, file_crc32(path)

        write_atomic(folder / name, write_and_sum)

    write(frames_file(shard), lambda file: np.save(file, content.frames, allow_pickle=False))
    write(steps_file(shard), lambda file: np.savez(file, allow_pickle=False, **content.columns))
    write(snapshots_file(shard), lambda file: file.writelines(part for _, part in snapshots))
    index = ShardIndex(
        start=content.start,
        stop=stop,
        sizes=sizes,
        crc32=checksums,
        snapshots=entries[: len(content.snapshots)],
        resume=entries[len(content.snapshots) :],
        ages=content.ages,
        generator=content.generator,
    )
    write_record(folder / index_file(shard), index)


def read_index(folder: Path, shard: int) -> ShardIndex | None:
    """The index of a shard, or None if the shard is not complete.  Checks the sizes of the shard's files.

    Raises:
        DatasetError: it is damaged, or one of its files is missing or truncated.
        StorageError: a file cannot be read.
    """
    path = folder / index_file(shard)
    try:
        index = decode_checked(path.read_bytes(), ShardIndex)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise_unless_damage(path, error)
        raise DatasetError(f"{path} cannot be read: {error}", expected="an index", todo=COLLECT_AGAIN) from error
    for name, size in index.sizes.items():
        try:
            seen = (folder / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DatasetError(f"{folder / name} is missing", expected=f"{size} bytes", todo=COLLECT_AGAIN) from error
        except OSError as error:
            raise unreadable(folder / name, error) from error
        if seen != size:
            raise DatasetError(f"{folder / name} has {seen} bytes", expected=f"{size} bytes", todo=COLLECT_AGAIN)
    return index


def read_snapshot(folder: Path, shard: int, entry: SnapshotEntry) -> bytes:
    """The bytes of a snapshot.

    Raises:
        SnapshotError: the bytes are missing or do not match their checksum.
    """
    path = folder / snapshots_file(shard)
    try:
        with open(path, "rb") as file:
            file.seek(entry.offset)
            part = file.read(entry.length)
    except OSError as error:
        raise_unless_damage(path, error)
        raise SnapshotError(f"{path} cannot be read: {error}", todo=COLLECT_AGAIN) from error
    if hashlib.sha256(part).hexdigest() != entry.sha256:
        raise SnapshotError(
            f"the snapshot of stream {entry.stream}, step {entry.time} in {path} does not match its checksum",
            expected=f"{entry.length} bytes with SHA-256 {entry.sha256}",
            todo=COLLECT_AGAIN,
        )
    return part


FOLLOWING = "following_hidden"
"""Name of the array (E, 1, m) with the hidden states of a recurrent agent after a shard."""


def read_following(folder: Path, shard: int) -> np.ndarray | None:
    """The hidden states (E, m) of a recurrent agent after a shard; None for other agents.

    Raises:
        DatasetError: the file is damaged.
    """
    path = folder / steps_file(shard)
    try:
        following = read_npz(path).get(FOLLOWING)
    except UNREADABLE_ARRAYS as error:
        raise_unless_damage(path, error)
        raise DatasetError(f"{path} cannot be read: {error}", todo=COLLECT_AGAIN) from error
    return None if following is None else following[:, 0]


def read_meta(folder: Path) -> dict[str, Any]:
    """The content of ``meta.json``: environment, agent, settings and number of states.

    Raises:
        DatasetError: it is missing, not readable, or of another format or version.
    """
    path = folder / "meta.json"
    expected = f"a folder with states that weakspot collected ({FORMAT!r}, version {VERSION})"
    try:
        verify_file(path)
        stored = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DatasetError(f"{folder} holds no states: there is no meta.json", expected=expected) from error
    except (OSError, ValueError, RecursionError) as error:
        raise_unless_damage(path, error)
        raise DatasetError(f"{path} cannot be read: {error}", expected=expected, todo=COLLECT_AGAIN) from error
    meta = cast("dict[str, Any]", stored) if isinstance(stored, dict) else {}
    seen = (meta.get("format"), meta.get("version"))
    if seen != (FORMAT, VERSION):
        raise DatasetError(f"{path} says (format, version) = {seen}", expected=expected)
    return meta


def check_content(folder: Path, name: str, index: ShardIndex) -> None:
    """Compares a file of a shard with the digest in the record of its result, or, if there is none, with its checksum.

    Raises:
        DamagedResultError, DatasetError: it is damaged.
        StorageError: it cannot be read.
    """
    path, expected = folder / name, index.crc32[name]
    if verify_file(path):
        return
    try:
        seen = file_crc32(path)
    except OSError as error:
        raise_unless_damage(path, error)
        raise DatasetError(f"{path} cannot be read: {error}", todo=COLLECT_AGAIN) from error
    if seen != expected:
        raise DatasetError(
            f"{path} is damaged: it does not match its checksum", expected=f"CRC-32 {expected:08x}", todo=COLLECT_AGAIN
        )


def file_crc32(path: Path) -> int:
    """CRC-32 of a file."""
    total = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            total = zlib.crc32(part, total)
    return total

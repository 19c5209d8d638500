"""How stored states lie on the disk: a folder with ``meta.json`` and shards, each a stretch of time of all streams.

Shard s holds the decisions [s T, (s + 1) T) of every stream in three files, and a fourth that is written last and says
that the shard is complete, with the checksums of the others and everything needed to go on after it:

    frames-00000.npy     (E, T, h, w, 3) uint8, the newest colour frame before each decision
    steps-00000.npz      one array (E, T, ...) a column
    snapshots-00000.bin  environment snapshots, one after the other
    shard-00000.json     :class:`ShardIndex`
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weakspot.errors import DatasetError, SnapshotError
from weakspot.system.files import write_atomic, write_json

FORMAT = "weakspot states"
VERSION = 3
COLLECT_AGAIN = "collect the states again, or take an undamaged copy of the folder"


@dataclass(frozen=True)
class SnapshotEntry:
    """Where a snapshot lies in the shard's file of snapshots.

    Attributes:
        stream, time: the state it belongs to; ``time`` counts the stream's decisions from 0.
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
    """What says that a shard is complete.

    Attributes:
        start, stop: the decisions it holds, of each stream.
        sizes, crc32: length in bytes and checksum of each of its files; no SHA-256, whose time would be taken from playing,
            since only accidents are guarded against.
        snapshots: of states to go back to.
        resume: one snapshot a stream, of the state right after the shard.
        ages: decisions since the episode's start of those states.
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
    """Name of a shard's file of frames."""
    return f"frames-{shard:05d}.npy"


def steps_file(shard: int) -> str:
    """Name of a shard's file of columns."""
    return f"steps-{shard:05d}.npz"


def snapshots_file(shard: int) -> str:
    """Name of a shard's file of snapshots."""
    return f"snapshots-{shard:05d}.bin"


def index_file(shard: int) -> str:
    """Name of the file that says a shard is complete."""
    return f"shard-{shard:05d}.json"


@dataclass(frozen=True)
class ShardContent:
    """A shard before it is written; see :class:`ShardIndex`.

    Attributes:
        start: first decision.
        frames: (E, T, h, w, 3) uint8.
        columns: arrays (E, T, ...).
        snapshots: by (stream, time).
        resume: one a stream.
    """

    start: int
    frames: np.ndarray
    columns: Mapping[str, np.ndarray]
    snapshots: Mapping[tuple[int, int], bytes]
    resume: list[bytes]
    ages: list[int]
    generator: str


def write_shard(folder: Path, shard: int, content: ShardContent) -> None:
    """Writes a shard; it exists from the moment its index stands.

    Raises:
        StorageError: the disk is full or read-only.
    """
    stop = content.start + content.frames.shape[1]
    named = list(content.snapshots.items()) + [((e, stop), part) for e, part in enumerate(content.resume)]
    entries, offset = [], 0
    for (stream, time), part in named:
        entries.append(SnapshotEntry(stream, time, offset, len(part), hashlib.sha256(part).hexdigest()))
        offset += len(part)
    sizes, sums = {}, {}

    def write(name: str, fill: Any) -> None:
        def write_and_sum(path: Path) -> None:
            with open(path, "wb") as file:
                fill(file)
            sizes[name], sums[name] = path.stat().st_size, file_crc32(path)

        write_atomic(folder / name, write_and_sum)

    write(frames_file(shard), lambda file: np.save(file, content.frames, allow_pickle=False))
    write(steps_file(shard), lambda file: np.savez(file, allow_pickle=False, **content.columns))
    write(snapshots_file(shard), lambda file: file.writelines(part for _, part in named))
    index = ShardIndex(
        start=content.start,
        stop=stop,
        sizes=sizes,
        crc32=sums,
        snapshots=entries[: len(content.snapshots)],
        resume=entries[len(content.snapshots) :],
        ages=content.ages,
        generator=content.generator,
    )
    write_json(folder / index_file(shard), asdict(index))


def read_index(folder: Path, shard: int) -> ShardIndex | None:
    """The index of a shard whose files have the lengths they should, or None where the shard was never completed.

    Raises:
        DatasetError: one of its files is missing, truncated or not readable.
    """
    path = folder / index_file(shard)
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text())
        told["snapshots"] = [SnapshotEntry(**entry) for entry in told["snapshots"]]
        told["resume"] = [SnapshotEntry(**entry) for entry in told["resume"]]
        index = ShardIndex(**told)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}", expected="an index", todo=COLLECT_AGAIN) from error
    for name, size in index.sizes.items():
        try:
            seen = (folder / name).stat().st_size
        except OSError as error:
            raise DatasetError(f"{folder / name} is missing", expected=f"{size} bytes", todo=COLLECT_AGAIN) from error
        if seen != size:
            raise DatasetError(f"{folder / name} has {seen} bytes", expected=f"{size} bytes", todo=COLLECT_AGAIN)
    return index


def read_snapshot(folder: Path, shard: int, entry: SnapshotEntry) -> bytes:
    """The bytes of a snapshot.

    Raises:
        SnapshotError: they are missing or do not match their checksum.
    """
    path = folder / snapshots_file(shard)
    try:
        with open(path, "rb") as file:
            file.seek(entry.offset)
            part = file.read(entry.length)
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error}", todo=COLLECT_AGAIN) from error
    if hashlib.sha256(part).hexdigest() != entry.sha256:
        raise SnapshotError(
            f"the snapshot of stream {entry.stream}, decision {entry.time} in {path} does not match its checksum",
            expected=f"{entry.length} bytes with SHA-256 {entry.sha256}",
            todo=COLLECT_AGAIN,
        )
    return part


def read_meta(folder: Path) -> dict[str, Any]:
    """What ``meta.json`` says.

    Raises:
        DatasetError: it is missing, not readable, or says that this is something else.
    """
    path = folder / "meta.json"
    wanted = f"a folder that weakspot collected states into ({FORMAT!r}, version {VERSION})"
    try:
        meta = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DatasetError(f"{folder} holds no states: there is no meta.json", expected=wanted) from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}", expected=wanted, todo=COLLECT_AGAIN) from error
    seen = (meta.get("format"), meta.get("version")) if isinstance(meta, dict) else (None, None)
    if seen != (FORMAT, VERSION):
        raise DatasetError(f"{path} says (format, version) = {seen}", expected=wanted)
    return meta


def file_crc32(path: Path) -> int:
    """CRC-32 of a file."""
    total = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            total = zlib.crc32(part, total)
    return total

"""The frames of a data set, memory-mapped: each shard is checked when it is first read, and a few are open at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weakspot.data.shards import COLLECT_AGAIN, ShardIndex, check_content, frames_file
from weakspot.errors import DatasetError
from weakspot.system.files import raise_unless_damage

OPEN = 256
"""Shards that are mapped at a time. Each keeps a descriptor, of which a process usually has 1,024."""


class MappedFrames:
    """The frames of all shards.

    A shard is compared with its digest when it is first mapped in this process. The shard that was used least recently is
    closed when more than :data:`OPEN` are open; its pages stay in the memory of the system.

    Args:
        folder: of the shards.
        shards: their indices.
        shape: (E, h, w, c) of the frames of one step.
    """

    def __init__(self, folder: Path, shards: Sequence[ShardIndex], shape: tuple[int, int, int, int]) -> None:
        self._folder, self._shards, self._shape = folder, shards, shape
        self._open: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def shard(self, number: int) -> np.ndarray:
        """The frames (E, T, h, w, c) of a shard; uint8.

        Raises:
            DamagedResultError, DatasetError: its file is missing or damaged.
            StorageError: the system cannot read it.
        """
        with self._lock:  # batches are prepared in several threads
            if (frames := self._open.get(number)) is None:
                frames = self._open[number] = self._map(number)
                if len(self._open) > OPEN:
                    self._open.popitem(last=False)
            elif len(self._shards) > OPEN:
                self._open.move_to_end(number)
            return frames

    def _map(self, number: int) -> np.ndarray:
        shard, path = self._shards[number], self._folder / frames_file(number)
        check_content(self._folder, path.name, shard)
        streams, *image = self._shape
        shape = (streams, shard.stop - shard.start, *image)
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise_unless_damage(path, error)
            raise DatasetError(f"{path} cannot be read: {error}", todo=COLLECT_AGAIN) from error
        if mapped.shape != shape or mapped.dtype != np.uint8:
            raise DatasetError(f"{path} holds {mapped.dtype} {mapped.shape}", expected=f"uint8 {shape}", todo=COLLECT_AGAIN)
        return np.asarray(mapped)

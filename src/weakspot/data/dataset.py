"""Stored states: single colour frames in memory-mapped shards, combined into stacks by index.

State i is what the agent saw before it took ``action[i]``.  Indices run through the streams one after the other, each in
the order of time: ``i = stream * steps + time``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.data.config import HELD_OUT
from weakspot.data.frames import MappedFrames
from weakspot.data.shards import (
    COLLECT_AGAIN,
    ShardIndex,
    check_content,
    read_index,
    read_meta,
    read_snapshot,
    steps_file,
)
from weakspot.envs.base import EnvironmentSpec
from weakspot.errors import ConfigError, DatasetError
from weakspot.system.files import UNREADABLE_ARRAYS, raise_unless_damage
from weakspot.system.npz import read_npz
from weakspot.types import Frames, Stacks, State

HELD_OUT_PARTS = 5
"""Number of parts of every stream that :meth:`StateDataset.split` holds out, if streams are long enough."""
MIN_SEGMENT = 100
"""Minimum number of steps of a stream per held-out part."""


def as_state(stacks: Stacks) -> State:
    """States (b, ck, h, w) in [0, 1] from stacks (b, k, h, w, c) of 0 to 255; the channels are last in memory."""
    frames = torch.as_tensor(np.ascontiguousarray(stacks)).unbind(dim=1)
    return torch.cat(frames, dim=3).permute(0, 3, 1, 2).to(torch.float32).div_(255.0)


def as_stacks(state: Tensor, channels: int = 3) -> Stacks:
    """Stacks (b, k, h, w, c) of 0 to 255 from states (b, ck, h, w) in [0, 1], rounded; the inverse of :func:`as_state`."""
    levels = state.detach().mul(255.0).round().clamp(0, 255).to(torch.uint8).cpu()
    frames = cast("Tensor", levels.unflatten(1, (-1, channels)))
    return frames.permute(0, 1, 3, 4, 2).contiguous().numpy()


@dataclass(frozen=True)
class StateDataset:
    """The states that an agent visited, and its actions and outputs there.  :meth:`open` reads one from a folder.

    Columns are arrays over the global index, loaded at first use.

    Attributes:
        folder: where the data set is stored.
        environment: the environment that was played.
        agent: the agent that played.
        config: the collection's settings.
        streams: number of environments that were played in parallel.
        steps: number of steps of each of them.
        shards: one index per shard.
        fingerprint: SHA-256 over the settings and the checksums of all files.
    """

    folder: Path
    environment: EnvironmentSpec
    agent: AgentSpec
    config: dict[str, Any]
    streams: int
    steps: int
    shards: tuple[ShardIndex, ...]
    fingerprint: str

    @classmethod
    def open(cls, path: str | Path) -> StateDataset:
        """Opens a folder that :func:`weakspot.data.collect.collect` wrote.

        Raises:
            DatasetError: there is no such folder, or it is unfinished, truncated, or something else.
        """
        folder = Path(path)
        meta = read_meta(folder)
        shards: list[ShardIndex] = []
        stop = 0
        while stop < meta["steps"]:
            index = read_index(folder, len(shards))
            if index is None:
                raise DatasetError(
                    f"{folder} holds {stop * meta['streams']} of {meta['steps'] * meta['streams']} states",
                    expected="a finished collection",
                    todo="run the same collection again; it continues where it stopped",
                )
            if index.start != stop:
                raise DatasetError(f"a shard of {folder} starts at {index.start}, not {stop}", todo=COLLECT_AGAIN)
            shards.append(index)
            stop = index.stop
        content = json.dumps([meta, [index.crc32 for index in shards]], sort_keys=True)
        return cls(
            folder=folder,
            environment=EnvironmentSpec(**_with_tuples(meta["environment"])),
            agent=AgentSpec(**_with_tuples(meta["agent"])),
            config=meta["config"],
            streams=meta["streams"],
            steps=meta["steps"],
            shards=tuple(shards),
            fingerprint=hashlib.sha256(content.encode()).hexdigest(),
        )

    def __len__(self) -> int:
        return self.streams * self.steps

    def verify(self) -> None:
        """Compares every file with its checksum.

        Raises:
            DatasetError: a file is damaged.
        """
        for shard in self.shards:
            for name in shard.crc32:
                check_content(self.folder, name, shard)

    def stacks(self, indices: np.ndarray) -> Stacks:
        """The states (n, k, h, w, c), oldest frame first; frames from before the episode are black.

        Raises:
            ConfigError: an index lies outside the data set.
        """
        return self._gather(indices, self.environment.frames)

    def newest(self, indices: np.ndarray) -> Frames:
        """The newest frame (n, h, w, c) of each state."""
        return self._gather(indices, 1)[:, 0]

    @cached_property
    def action(self) -> np.ndarray:
        """The action taken in each state: (n,) int64, or (n, a) float32 if actions are continuous."""
        return self._column("action")

    @cached_property
    def reward(self) -> np.ndarray:
        """Unclipped reward of each action, (n,) float32."""
        return self._column("reward")

    @cached_property
    def scores(self) -> np.ndarray:
        """The agent's scores: Q-values, log-probabilities or action means, (n, a) float32."""
        return self._column("scores")

    @cached_property
    def value(self) -> np.ndarray | None:
        """The critic's value, (n,) float32, or None for agents without a critic."""
        return self._column("value") if "value" in self._columns else None

    @cached_property
    def hidden(self) -> np.ndarray | None:
        """The hidden state with which the agent saw each state, (n, m) float32, or None for agents without one."""
        return self._column("hidden") if "hidden" in self._columns else None

    @cached_property
    def terminated(self) -> np.ndarray:
        """Whether the episode terminated after the action, (n,) bool."""
        return self._column("terminated")

    @cached_property
    def truncated(self) -> np.ndarray:
        """Whether the episode was truncated after the action, (n,) bool."""
        return self._column("truncated")

    @cached_property
    def life_lost(self) -> np.ndarray:
        """Whether a life ended with the action, (n,) bool."""
        return self._column("life_lost")

    @cached_property
    def explored(self) -> np.ndarray:
        """Whether exploration replaced the agent's own action by another one, (n,) bool."""
        return self._column("explored")

    @cached_property
    def age(self) -> np.ndarray:
        """Steps since the start of the episode, (n,) int32; 0 for the state after a reset."""
        return self._column("age")

    @cached_property
    def ram(self) -> np.ndarray:
        """The emulator's memory in each state, (n, 128) uint8."""
        return self._column("ram")

    @cached_property
    def stream(self) -> np.ndarray:
        """Number of the environment of each state, (n,)."""
        return np.arange(len(self)) // self.steps

    @cached_property
    def time(self) -> np.ndarray:
        """Steps of the same stream before each state, (n,)."""
        return np.arange(len(self)) % self.steps

    def split(self, held_out: float = HELD_OUT) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training states and of the held-out states.

        Every stream is divided into up to ``HELD_OUT_PARTS`` equal segments, and the last part of each segment is held out.
        The k states before and after a held-out part are in neither set.  A single part at the end of every stream would
        hold out everything that only happens late in a game, such as high scores.

        Args:
            held_out: fraction of the states that are held out.

        Returns:
            training: (n,) indices.
            held_out: (m,) indices.

        Raises:
            ConfigError: one of the sets would be empty.
        """
        segments = int(np.clip(self.steps // MIN_SEGMENT, 1, HELD_OUT_PARTS))
        length = round(self.steps / segments * held_out)
        stops = self.steps * np.arange(1, segments + 1) // segments
        held, near = np.zeros((2, self.steps), dtype=bool)
        for stop in stops:
            held[stop - length : stop] = True
            near[max(stop - length - self.environment.frames, 0) : stop + self.environment.frames] = True
        if length < 1 or near.all():
            raise ConfigError(
                f"held_out is {held_out} of {self.steps} steps per stream",
                expected="a fraction that leaves both training and held-out states",
            )
        return np.flatnonzero(~near[self.time]), np.flatnonzero(held[self.time])

    def snapshot_before(self, index: int) -> tuple[int, bytes]:
        """The latest snapshot of the same stream at or before a state.

        To get from the snapshot to the state, take the stored actions, and call ``reset()`` after each end of an episode.

        Returns:
            index: of the snapshot's state.
            snapshot: for :meth:`weakspot.envs.base.Environment.restore`.

        Raises:
            ConfigError: the index lies outside the data set.
            SnapshotError: the snapshot is damaged.
            DatasetError: the data set was collected without snapshots.
        """
        stream, time = divmod(int(self._checked(np.asarray([index]))[0]), self.steps)
        for number in range(self._shard_of(time), -1, -1):
            earlier = [e for e in self.shards[number].snapshots if e.stream == stream and e.time <= time]
            if earlier:
                latest = max(earlier, key=lambda entry: entry.time)
                return stream * self.steps + latest.time, read_snapshot(self.folder, number, latest)
        raise DatasetError(f"{self.folder} has no snapshot before state {index}", todo="collect with snapshots")

    def with_snapshots(self) -> np.ndarray:
        """Indices of all states with a snapshot of their own, sorted (n,)."""
        entries = [entry for shard in self.shards for entry in shard.snapshots]
        return np.array(sorted(entry.stream * self.steps + entry.time for entry in entries), np.int64)

    def episode_scores(self) -> np.ndarray:
        """Sum of unclipped rewards of each complete episode, (episodes,), in the order of the indices."""
        scores: list[np.ndarray] = []
        for stream in range(self.streams):
            part = slice(stream * self.steps, (stream + 1) * self.steps)
            ends = np.flatnonzero(self.terminated[part] | self.truncated[part])
            totals = np.cumsum(self.reward[part], dtype=np.float64)[ends]
            scores.append(np.diff(totals, prepend=0.0))
        return np.concatenate(scores)

    def _gather(self, indices: np.ndarray, k: int) -> np.ndarray:
        """The last ``k`` frames (n, k, h, w, c) of each state; frames before the start of the episode are black."""
        spec, indices = self.environment, self._checked(indices)
        stacks = np.empty((len(indices), k, spec.height, spec.width, spec.channels), np.uint8)
        depths = np.minimum(self.age[indices] + 1, k).tolist()
        length = self._length
        for stack, index, depth in zip(stacks, indices.tolist(), depths, strict=True):
            stream, time = divmod(index, self.steps)
            shard, step = divmod(time, length)
            stack[: k - depth] = 0
            if step + 1 >= depth:
                stack[k - depth :] = self._frames.shard(shard)[stream, step + 1 - depth : step + 1]
            else:  # the older frames are at the end of the previous shards
                for lag in range(depth):
                    shard, step = divmod(time - lag, length)
                    stack[k - 1 - lag] = self._frames.shard(shard)[stream, step]
        return stacks

    def _checked(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices)
        if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
            seen = f"indices of shape {indices.shape} and type {indices.dtype}"
            raise ConfigError(seen, expected="(n,) whole numbers")
        outside = indices[(indices < 0) | (indices >= len(self))]
        if len(outside):
            raise ConfigError(f"there is no state {outside[0]}", expected=f"0 to {len(self) - 1}")
        return indices

    @cached_property
    def _length(self) -> int:
        """Steps per shard; only the last shard may be shorter."""
        return self.shards[0].stop

    def _shard_of(self, time: int) -> int:
        return time // self._length

    @cached_property
    def _frames(self) -> MappedFrames:
        spec = self.environment
        return MappedFrames(self.folder, self.shards, (self.streams, spec.height, spec.width, spec.channels))

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        parts: dict[str, list[np.ndarray]] = {}
        for number in range(len(self.shards)):
            path = self.folder / steps_file(number)
            check_content(self.folder, path.name, self.shards[number])
            try:
                for name, column in read_npz(path).items():
                    parts.setdefault(name, []).append(column)
            except UNREADABLE_ARRAYS as error:
                raise_unless_damage(path, error)
                raise DatasetError(f"{path} cannot be read: {error}", todo=COLLECT_AGAIN) from error
        return {name: np.concatenate(part, axis=1) for name, part in parts.items()}

    def _column(self, name: str) -> np.ndarray:
        column = self._columns[name]
        return column.reshape(len(self), *column.shape[2:])


def recorded_outputs(dataset: StateDataset, indices: np.ndarray) -> AgentOutput:
    """The agent's outputs A(s), as stored with the states ``indices`` (n,): scores (n, a), and the value (n,) if any."""
    value = None if dataset.value is None else torch.as_tensor(np.asarray(dataset.value[indices], np.float32))
    return AgentOutput(torch.as_tensor(np.asarray(dataset.scores[indices], np.float32)), value)


def _with_tuples(entries: dict[str, Any]) -> dict[str, Any]:
    """JSON values with tuples for lists, as the dataclasses hold them."""
    return {name: _as_tuple(value) for name, value in entries.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(part) for part in cast("list[Any]", value)) if isinstance(value, list) else value

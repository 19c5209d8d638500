"""Runs many environments in a few processes; frames and observations return through shared memory.

Threads are slower here: the emulator releases Python's global lock several times per step, and on busy cores each
acquisition of the lock waits for the scheduler.
"""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from weakspot.actions import Action
from weakspot.envs.base import Environment, EnvironmentSpec, Step
from weakspot.envs.forked import ForkedWorkers, shares


@dataclass(frozen=True)
class SharedSteps:
    """Current observations and frames of E environments and the results of their last actions, in shared memory.

    After the end of an episode, observation and frame are those of the next episode's start.

    Attributes:
        observations: (E, c, h, w) uint8.
        frames: (E, h, w, 3) uint8, the newest colour frame.
        ram: (E, bytes) uint8, the emulator's memory.
        reward: (E,) float32, of the action.
        terminated, truncated, life_lost: (E,) bool, of the action.
        entries: (E, v) float32, what is given beside the images.
    """

    observations: np.ndarray
    frames: np.ndarray
    ram: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    life_lost: np.ndarray
    entries: np.ndarray

    @classmethod
    def shared(cls, spec: EnvironmentSpec, count: int) -> SharedSteps:
        """Allocates the memory for ``count`` environments; all images are black."""
        return cls(
            observations=_shared((count, *spec.observation_shape)),
            frames=_shared((count, spec.height, spec.width, spec.channels)),
            ram=_shared((count, spec.ram)),
            reward=_shared((count,), np.float32),
            terminated=_shared((count,), np.bool_),
            truncated=_shared((count,), np.bool_),
            life_lost=_shared((count,), np.bool_),
            entries=_shared((count, sum(size for _, size in spec.entries or ())), np.float32),
        )

    def write(self, number: int, current: Step, result: Step | None) -> None:
        """Writes the current step of environment ``number``, and the result of its last action, if there was one."""
        self.observations[number] = current.observation
        self.frames[number] = current.frame
        self.ram[number] = current.ram
        self.entries[number] = current.entries
        self.reward[number] = result.reward if result else 0.0
        self.terminated[number] = result is not None and result.terminated
        self.truncated[number] = result is not None and result.truncated
        self.life_lost[number] = result is not None and result.life_lost


def _no_environments() -> list[Environment]:
    return []


@dataclass
class _Worker:
    """The environments of one process."""

    numbers: Sequence[int]
    factory: Callable[[], Environment]
    current: SharedSteps
    environments: list[Environment] = field(default_factory=_no_environments)

    def make(self, _: Sequence[None]) -> list[None]:
        self.environments = [self.factory() for _ in self.numbers]
        return []

    def reset(self, seeds: Sequence[int]) -> list[None]:
        for number, environment, seed in zip(self.numbers, self.environments, seeds, strict=True):
            self.current.write(number, environment.reset(seed), None)
        return []

    def restore(self, snapshots: Sequence[bytes]) -> list[None]:
        for number, environment, snapshot in zip(self.numbers, self.environments, snapshots, strict=True):
            self.current.write(number, environment.restore(snapshot), None)
        return []

    def snapshot(self, _: Sequence[None]) -> list[bytes]:
        return [environment.snapshot() for environment in self.environments]

    def step(self, actions: Sequence[Action]) -> list[None]:
        for number, environment, action in zip(self.numbers, self.environments, actions, strict=True):
            result = environment.step(action)
            self.current.write(number, environment.reset() if result.terminated or result.truncated else result, result)
        return []

    def close(self) -> None:
        for environment in self.environments:
            environment.close()


class ParallelEnvironments:
    """Runs ``count`` environments in ``workers`` processes, one of which is the current process.

    The other processes are forked, so the factory may be any callable; its environments must not use several torch threads.
    The processes end when this object is closed, and also when the current process ends.

    Args:
        factory: makes one environment; called in the processes.
        spec: of such an environment.
        count: E, number of environments.
        workers: number of processes, by default one per core; only the current one on systems that cannot fork.

    Attributes:
        spec: as given.
        current: observations and frames, and the results of the last actions.
    """

    def __init__(
        self, factory: Callable[[], Environment], spec: EnvironmentSpec, count: int, workers: int | None = None
    ) -> None:
        self.spec, self.current = spec, SharedSteps.shared(spec, count)
        self._parts = shares(count, workers)
        self._count = count
        self._workers = ForkedWorkers([_Worker(part, factory, self.current) for part in self._parts])
        try:
            self._call("make", [None] * count)
        except BaseException:
            self.close()
            raise

    def reset(self, seeds: Sequence[int]) -> None:
        """Starts an episode in every environment, each from its own seed."""
        self._call("reset", seeds)

    def step(self, actions: Sequence[Action]) -> None:
        """Takes one action in every environment; after the end of an episode the next one starts at once."""
        self._call("step", actions)

    def snapshot(self) -> list[bytes]:
        """A snapshot of every environment."""
        results: list[list[bytes]] = self._call("snapshot", [None] * self._count)
        by_number = dict(zip(itertools.chain(*self._parts), itertools.chain(*results), strict=True))
        return [by_number[number] for number in range(self._count)]

    def restore(self, snapshots: Sequence[bytes]) -> None:
        """Restores a snapshot in every environment.

        Raises:
            SnapshotError: a snapshot is damaged or of another environment.
        """
        self._call("restore", snapshots)

    def close(self) -> None:
        """Ends the processes."""
        self._workers.close()

    def __enter__(self) -> ParallelEnvironments:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _call(self, method: str, arguments: Sequence[Any]) -> list[Any]:
        """Calls a method of :class:`_Worker` in every process; ``arguments`` has one for each environment."""
        return self._workers.call(method, [([arguments[number] for number in part],) for part in self._parts])


def _shared(shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> np.ndarray:
    """An array of zeros in memory that forked processes share."""
    count = int(np.prod(shape))
    memory = mmap.mmap(-1, max(count * np.dtype(dtype).itemsize, 1))
    return np.frombuffer(memory, dtype, count).reshape(shape)

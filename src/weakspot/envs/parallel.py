"""Runs many environments in a few processes; frames and observations return through shared memory.

Threads are slower here: the emulator releases Python's global lock several times per step, and on busy cores each
acquisition of the lock waits for the scheduler.
"""

from __future__ import annotations

import itertools
import mmap
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np

from weakspot.actions import Action
from weakspot.envs.base import Environment, EnvironmentSpec, Step
from weakspot.errors import WeakspotError

_END_SECONDS = 10.0
"""Time after which a process that has not ended by itself is terminated."""


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
    """

    observations: np.ndarray
    frames: np.ndarray
    ram: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    life_lost: np.ndarray

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
        )

    def write(self, number: int, current: Step, result: Step | None) -> None:
        """Writes the current step of environment ``number``, and the result of its last action, if there was one."""
        self.observations[number] = current.observation
        self.frames[number] = current.frame
        self.ram[number] = current.ram
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
        current: observations and frames, and the results of the last actions.
    """

    def __init__(
        self, factory: Callable[[], Environment], spec: EnvironmentSpec, count: int, workers: int | None = None
    ) -> None:
        self.current = SharedSteps.shared(spec, count)
        can_fork = "fork" in multiprocessing.get_all_start_methods()
        workers = min(workers or os.cpu_count() or 1, count) if can_fork else 1
        self._parts = [range(first, count, workers) for first in range(workers)]
        self._count = count
        self._connections: list[Connection] = []
        self._processes: list[Any] = []
        self._own, *others = [_Worker(part, factory, self.current) for part in self._parts]
        if others:
            self._fork(others)
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
        self._own.close()
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(_END_SECONDS)
            if process.is_alive():  # an environment that hangs
                process.terminate()
                process.join()
        self._connections, self._processes = [], []

    def __enter__(self) -> ParallelEnvironments:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _fork(self, shares: Iterable[_Worker]) -> None:
        context = multiprocessing.get_context("fork")
        for worker in shares:
            ours, theirs = context.Pipe()
            self._connections.append(ours)
            process = context.Process(target=_serve, args=(worker, theirs, list(self._connections)), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)

    def _call(self, method: str, arguments: Sequence[Any]) -> list[Any]:
        """Calls a method of :class:`_Worker` in every process; ``arguments`` has one for each environment."""
        parts = [[arguments[number] for number in part] for part in self._parts]
        self._send(method, parts[1:])
        return [getattr(self._own, method)(parts[0]), *self._receive()]

    def _send(self, method: str, parts: Sequence[Sequence[Any]]) -> None:
        with _ended_processes():
            for connection, part in zip(self._connections, parts, strict=True):
                connection.send((method, part))

    def _receive(self) -> list[list[Any]]:
        with _ended_processes():
            results = [connection.recv() for connection in self._connections]
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results


@contextmanager
def _ended_processes() -> Generator[None, None, None]:
    """Turns a broken connection into a :class:`WeakspotError` that says a process has ended."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise WeakspotError(
            "a process with environments ended unexpectedly",
            expected="processes that run until the collection is finished",
            todo="check whether memory ran out; the same command continues the collection where it stopped",
        ) from error


def _serve(worker: _Worker, connection: Connection, others: Sequence[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()  # these copies would keep the connections open after the parent process has ended
    while True:
        try:
            method, part = connection.recv()
        except (EOFError, ConnectionError):
            worker.close()
            return
        try:
            result = getattr(worker, method)(part)
        except Exception as error:
            result = error
        try:
            connection.send(result)
        except ConnectionError:
            return


def _shared(shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> np.ndarray:
    """An array of zeros in memory that forked processes share."""
    count = int(np.prod(shape))
    memory = mmap.mmap(-1, max(count * np.dtype(dtype).itemsize, 1))
    return np.frombuffer(memory, dtype, count).reshape(shape)

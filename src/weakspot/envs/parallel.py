"""Many environments side by side, in a few processes; pictures come back through shared memory.

Threads do not serve here: the emulator gives Python's lock away several times a decision, and on busy cores every
taking back waits for the scheduler.
"""

from __future__ import annotations

import itertools
import mmap
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np

from weakspot.envs.base import Environment, EnvironmentSpec, Step
from weakspot.errors import WeakspotError
from weakspot.types import Decision

_PATIENCE = 10.0
"""Seconds in which a process may end by itself."""


@dataclass(frozen=True)
class Shown:
    """What came of the last decision in each of E environments and what they show now, in memory that all processes share.

    After an episode's end, what is shown is the next one's start.

    Attributes:
        observations: (E, c, h, w) uint8.
        frames: (E, h, w, 3) uint8, the newest colour frame.
        ram: (E, bytes) uint8, what the emulator's memory holds.
        reward: (E,) float32, of the decision.
        terminated, truncated, life_lost: (E,) bool, of the decision.
    """

    observations: np.ndarray
    frames: np.ndarray
    ram: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    life_lost: np.ndarray

    @classmethod
    def shared(cls, spec: EnvironmentSpec, count: int) -> Shown:
        """Black pictures of ``count`` environments."""
        return cls(
            observations=_shared((count, *spec.observation_shape)),
            frames=_shared((count, spec.height, spec.width, spec.channels)),
            ram=_shared((count, spec.ram)),
            reward=_shared((count,), np.float32),
            terminated=_shared((count,), np.bool_),
            truncated=_shared((count,), np.bool_),
            life_lost=_shared((count,), np.bool_),
        )

    def put(self, number: int, shown: Step, came: Step | None) -> None:
        """Writes what environment ``number`` shows, and what came of its decision, if there was one."""
        self.observations[number] = shown.observation
        self.frames[number] = shown.frame
        self.ram[number] = shown.ram
        self.reward[number] = came.reward if came else 0.0
        self.terminated[number] = came is not None and came.terminated
        self.truncated[number] = came is not None and came.truncated
        self.life_lost[number] = came is not None and came.life_lost


@dataclass
class _Share:
    """Some of the environments, in one process."""

    numbers: Sequence[int]
    factory: Callable[[], Environment]
    shown: Shown
    environments: list[Environment] = field(default_factory=list)

    def make(self, _: Sequence[None]) -> list[None]:
        self.environments = [self.factory() for _ in self.numbers]
        return []

    def reset(self, seeds: Sequence[int]) -> list[None]:
        for number, environment, seed in zip(self.numbers, self.environments, seeds, strict=True):
            self.shown.put(number, environment.reset(seed), None)
        return []

    def restore(self, snapshots: Sequence[bytes]) -> list[None]:
        for number, environment, snapshot in zip(self.numbers, self.environments, snapshots, strict=True):
            self.shown.put(number, environment.restore(snapshot), None)
        return []

    def snapshot(self, _: Sequence[None]) -> list[bytes]:
        return [environment.snapshot() for environment in self.environments]

    def step(self, actions: Sequence[Decision]) -> list[None]:
        for number, environment, action in zip(self.numbers, self.environments, actions, strict=True):
            came = environment.step(action)
            self.shown.put(number, environment.reset() if came.terminated or came.truncated else came, came)
        return []

    def close(self) -> None:
        for environment in self.environments:
            environment.close()


class ParallelEnvironments:
    """``count`` environments in ``workers`` processes, this one among them.

    The others are forked, so the factory may be any callable; what it makes must not compute with torch in several
    threads.  They end when this object is closed, and also when this process dies.

    Args:
        factory: makes one environment; called in the processes.
        spec: of such an environment.
        count: E, how many.
        workers: how many processes, one a core unless given; a system that cannot fork uses this one only.

    Attributes:
        shown: what the environments show, and what came of their last decisions.
    """

    def __init__(
        self, factory: Callable[[], Environment], spec: EnvironmentSpec, count: int, workers: int | None = None
    ) -> None:
        self.shown = Shown.shared(spec, count)
        can_fork = "fork" in multiprocessing.get_all_start_methods()
        workers = min(workers or os.cpu_count() or 1, count) if can_fork else 1
        self._parts = [range(first, count, workers) for first in range(workers)]
        self._count = count
        self._connections: list[Connection] = []
        self._processes: list[Any] = []
        self._own, *others = [_Share(part, factory, self.shown) for part in self._parts]
        if others:
            self._fork(others)
        try:
            self._ask("make", [None] * count)
        except BaseException:
            self.close()
            raise

    def reset(self, seeds: Sequence[int]) -> None:
        """Starts an episode in every environment, each from its own seed."""
        self._ask("reset", seeds)

    def step(self, actions: Sequence[Decision]) -> None:
        """One decision in every environment; where an episode ends, the next one is started."""
        self._ask("step", actions)

    def snapshot(self) -> list[bytes]:
        """A snapshot of every environment."""
        answers = self._ask("snapshot", [None] * self._count)
        ordered = dict(zip(itertools.chain(*self._parts), itertools.chain(*answers), strict=True))
        return [ordered[number] for number in range(self._count)]

    def restore(self, snapshots: Sequence[bytes]) -> None:
        """Goes back to a snapshot in every environment.

        Raises:
            SnapshotError: a snapshot is damaged or of another environment.
        """
        self._ask("restore", snapshots)

    def close(self) -> None:
        """Ends the processes."""
        self._own.close()
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(_PATIENCE)
            if process.is_alive():  # an environment that does not come back
                process.terminate()
                process.join()
        self._connections, self._processes = [], []

    def __enter__(self) -> ParallelEnvironments:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _fork(self, shares: Iterable[_Share]) -> None:
        context = multiprocessing.get_context("fork")
        for share in shares:
            ours, theirs = context.Pipe()
            self._connections.append(ours)
            process = context.Process(target=_serve, args=(share, theirs, list(self._connections)), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)

    def _ask(self, what: str, arguments: Sequence[Any]) -> list[Any]:
        parts = [[arguments[number] for number in part] for part in self._parts]
        self._send(what, parts[1:])
        return [getattr(self._own, what)(parts[0]), *self._receive()]

    def _send(self, what: str, parts: Sequence[Sequence[Any]]) -> None:
        with _ended_processes():
            for connection, part in zip(self._connections, parts, strict=True):
                connection.send((what, part))

    def _receive(self) -> list[list[Any]]:
        with _ended_processes():
            answers = [connection.recv() for connection in self._connections]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers


@contextmanager
def _ended_processes() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise WeakspotError(
            "a process with environments ended unexpectedly",
            expected="it to live as long as the collection",
            todo="look whether memory ran out; a collection goes on where it stopped",
        ) from error


def _serve(share: _Share, connection: Connection, others: Sequence[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()  # so that the end of the parent process is seen as the end of the connection
    while True:
        try:
            what, part = connection.recv()
        except (EOFError, ConnectionError):
            share.close()
            return
        try:
            answer = getattr(share, what)(part)
        except Exception as error:
            answer = error
        try:
            connection.send(answer)
        except ConnectionError:
            return


def _shared(shape: tuple[int, ...], kind: type[np.generic] = np.uint8) -> np.ndarray:
    count = int(np.prod(shape))
    memory = mmap.mmap(-1, max(count * np.dtype(kind).itemsize, 1))
    return np.frombuffer(memory, kind, count).reshape(shape)

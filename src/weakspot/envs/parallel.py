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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np

from weakspot.envs.base import Environment, EnvironmentSpec, Step
from weakspot.errors import WeakspotError

TURNS = 2
"""Groups of environments that play by turns."""

_PATIENCE = 10.0
"""Seconds in which a process may end by itself."""


@dataclass(frozen=True)
class Decision:
    """What came of one decision, and the memory now; after an episode's end that is the next one's start.

    Attributes:
        reward, terminated, truncated, life_lost: of the decision.
        ram: what the emulator's memory holds now.
    """

    reward: float
    terminated: bool
    truncated: bool
    life_lost: bool
    ram: np.ndarray


@dataclass(frozen=True)
class Pictures:
    """What each of E environments shows, in memory that all processes share.

    Attributes:
        observations: (E, k, h, w) uint8.
        frames: (E, h, w, 3) uint8, the newest colour frame.
    """

    observations: np.ndarray
    frames: np.ndarray

    @classmethod
    def shared(cls, spec: EnvironmentSpec, count: int) -> Pictures:
        """Black pictures of ``count`` environments."""
        return cls(
            observations=_shared((count, *spec.observation_shape)),
            frames=_shared((count, spec.height, spec.width, spec.channels)),
        )


@dataclass
class _Share:
    """Some of the environments, in one process."""

    numbers: Sequence[int]
    factory: Callable[[], Environment]
    pictures: Pictures
    environments: list[Environment] = field(default_factory=list)

    def make(self, _: Sequence[None]) -> list[None]:
        self.environments = [self.factory() for _ in self.numbers]
        return [None for _ in self.numbers]

    def reset(self, seeds: Sequence[int]) -> list[Decision]:
        return [self._start(i, self.environments[i].reset(seed)) for i, seed in enumerate(seeds)]

    def restore(self, snapshots: Sequence[bytes]) -> list[Decision]:
        return [self._start(i, self.environments[i].restore(snapshot)) for i, snapshot in enumerate(snapshots)]

    def snapshot(self, _: Sequence[None]) -> list[bytes]:
        return [environment.snapshot() for environment in self.environments]

    def step(self, actions: Sequence[int]) -> list[Decision]:
        return [self._decide(i, action) for i, action in enumerate(actions)]

    def _decide(self, i: int, action: int) -> Decision:
        done = self.environments[i].step(action)
        shown = self.environments[i].reset() if done.terminated or done.truncated else done
        self._show(i, shown)
        return Decision(done.reward, done.terminated, done.truncated, done.life_lost, shown.ram)

    def _start(self, i: int, shown: Step) -> Decision:
        self._show(i, shown)
        return Decision(0.0, False, False, False, shown.ram)

    def _show(self, i: int, shown: Step) -> None:
        self.pictures.observations[self.numbers[i]] = shown.observation
        self.pictures.frames[self.numbers[i]] = shown.frame


class _Here:
    """Some of the environments in this process, for systems that cannot fork or where one process is wanted."""

    def __init__(self, share: _Share) -> None:
        self._share = share
        self._answer: Any = None

    def send(self, what: str, part: Sequence[Any]) -> None:
        try:
            self._answer = getattr(self._share, what)(part)
        except Exception as error:
            self._answer = error

    def receive(self) -> Any:
        return self._answer

    def close(self) -> None:
        pass


class _Process:
    """Some of the environments in a process of their own.

    Args:
        share: which.
        open_before: this side's ends of the pipes to other processes, which the new one must not keep open.
    """

    def __init__(self, share: _Share, open_before: Sequence[Connection]) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(share, theirs, [*open_before, self.connection]), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, what: str, part: Sequence[Any]) -> None:
        with _ended_processes():
            self.connection.send((what, part))

    def receive(self) -> Any:
        with _ended_processes():
            return self.connection.recv()

    def close(self) -> None:
        self.connection.close()
        self._process.join(_PATIENCE)
        if self._process.is_alive():  # an environment that does not come back
            self._process.terminate()
            self._process.join()


class ParallelEnvironments:
    """``count`` environments in ``workers`` processes, which play while this one thinks.

    The environments take turns: while one half of them plays, the actions of the other half can be chosen.  The processes
    are forked, so the factory may be any callable; what it makes must not compute with torch in several threads.  They
    end when this object is closed, and also when this process dies.

    Args:
        factory: makes one environment; called in the processes.
        spec: of such an environment.
        count: E, how many.
        workers: how many processes, one a core unless given; with one, or on a system that cannot fork, it is this one.

    Attributes:
        pictures: what the environments show.
        turns: the environments of each turn, as a slice of all; the same for any number of workers.
    """

    def __init__(
        self, factory: Callable[[], Environment], spec: EnvironmentSpec, count: int, workers: int | None = None
    ) -> None:
        self.pictures = Pictures.shared(spec, count)
        self.turns = tuple(slice(turn, count, TURNS) for turn in range(min(TURNS, count)))
        self._count = count
        workers = workers or os.cpu_count() or 1
        forks = workers > 1 and "fork" in multiprocessing.get_all_start_methods()
        self._workers: list[list[tuple[range, _Here | _Process]]] = [[] for _ in self.turns]
        open_before: list[Connection] = []
        for turn, those in enumerate(self.turns):
            numbers = range(count)[those]
            parts = len(range(turn, workers, TURNS)) or 1
            for part in (numbers[first::parts] for first in range(min(parts, len(numbers)))):
                share = _Share(part, factory, self.pictures)
                worker = _Process(share, open_before) if forks else _Here(share)
                if isinstance(worker, _Process):
                    open_before.append(worker.connection)
                self._workers[turn].append((part, worker))
        try:
            self._ask("make", [None] * count)
        except BaseException:
            self.close()
            raise

    def reset(self, seeds: Sequence[int]) -> list[Decision]:
        """Starts an episode in every environment, each from its own seed."""
        return self._ask("reset", seeds)

    def step(self, actions: Sequence[int]) -> list[Decision]:
        """One decision in every environment; where an episode ends, the next one is started."""
        return self._ask("step", actions)

    def begin(self, turn: int, actions: Sequence[int]) -> None:
        """Lets the environments of one turn make a decision each, as :meth:`step` does, while this process goes on."""
        self._send(turn, "step", actions)

    def end(self, turn: int) -> list[Decision]:
        """Waits for the decisions that :meth:`begin` asked for."""
        return self._received(turn, self._receive(turn))

    def snapshot(self, turn: int) -> list[bytes]:
        """A snapshot of every environment of one turn."""
        self._send(turn, "snapshot", [None] * self._count)
        return self._received(turn, self._receive(turn))

    def restore(self, snapshots: Sequence[bytes]) -> list[Decision]:
        """Goes back to a snapshot in every environment.

        Raises:
            SnapshotError: a snapshot is damaged or of another environment.
        """
        return self._ask("restore", snapshots)

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            for _, process in worker:
                process.close()
        self._workers = []

    def __enter__(self) -> ParallelEnvironments:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, what: str, arguments: Sequence[Any]) -> list[Any]:
        """Every environment's answer to a question, whatever its turn."""
        for turn, those in enumerate(self.turns):
            self._send(turn, what, arguments[those])
        answers = [self._receive(turn) for turn in range(len(self.turns))]  # all of them, also where one is an error
        ordered = list(arguments)
        for turn, those in enumerate(self.turns):
            ordered[those] = self._received(turn, answers[turn])
        return ordered

    def _send(self, turn: int, what: str, arguments: Sequence[Any]) -> None:
        """Asks the environments of a turn, with one argument each."""
        for part, worker in self._workers[turn]:
            worker.send(what, [arguments[number // TURNS] for number in part])

    def _receive(self, turn: int) -> list[Any]:
        return [worker.receive() for _, worker in self._workers[turn]]

    def _received(self, turn: int, answers: list[Any]) -> list[Any]:
        """The answers of a turn's environments in their order; raises what one of them is."""
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        parts = [part for part, _ in self._workers[turn]]
        ordered = dict(zip(itertools.chain(*parts), itertools.chain(*answers), strict=True))
        return [ordered[number] for number in sorted(ordered)]


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
            return
        try:
            answer = getattr(share, what)(part)
        except Exception as error:
            answer = error
        try:
            connection.send(answer)
        except ConnectionError:
            return


def _shared(shape: tuple[int, ...]) -> np.ndarray:
    memory = mmap.mmap(-1, max(int(np.prod(shape)), 1))
    return np.frombuffer(memory, np.uint8, int(np.prod(shape))).reshape(shape)

"""Workers in forked processes: the same method is called in all of them, each with its own arguments.

The first worker runs in the current process.  The others are forked, so that they may hold any object; they must not use
several torch threads.  They end when :meth:`ForkedWorkers.close` is called, and also when the current process ends.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from weakspot.errors import WeakspotError
from weakspot.system.cores import usable_cores

_END_SECONDS = 10.0
"""Time after which a process that has not ended by itself is terminated."""
_EXIT_SECONDS = 1.0
"""Time to wait for the exit code of a process whose connection broke."""


def shares(count: int, workers: int | None) -> list[range]:
    """The numbers 0 to ``count - 1``, divided among workers.

    Args:
        count: of what is divided.
        workers: their number, by default one per core that this process may use; a single one on systems that cannot fork.
    """
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    used = min(workers or usable_cores(), count) if can_fork else 1
    return [range(first, count, used) for first in range(used)]


class ForkedWorkers:
    """Objects with the same methods, the first in the current process and each of the others in one of its own.

    Args:
        workers: the objects. Each has a method ``close()``, which is called when its process ends.
    """

    def __init__(self, workers: Sequence[Any]) -> None:
        self._connections: list[Connection] = []
        self._processes: list[Any] = []
        self._own, *others = workers
        if others:
            self._fork(others)

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Calls a method of every worker with its own arguments, and returns the results in the order of the workers.

        Raises:
            WeakspotError: a process has ended unexpectedly. What a worker raises is raised here as well, after all have
                finished.
        """
        with self._ended_processes():
            for connection, words in zip(self._connections, arguments[1:], strict=True):
                connection.send((method, words))
        try:
            results = [getattr(self._own, method)(*arguments[0])]
        finally:  # the answers are taken from the connections in any case
            with self._ended_processes():
                received = [connection.recv() for connection in self._connections]
        for result in received:
            if isinstance(result, BaseException):
                raise result
        return [*results, *received]

    def call_first(self, method: str, *words: Any) -> Any:
        """Calls a method of the first worker alone, in the current process."""
        return getattr(self._own, method)(*words)

    def close(self) -> None:
        """Ends the processes."""
        self._own.close()
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(_END_SECONDS)
            if process.is_alive():  # a worker that hangs
                process.terminate()
                process.join()
        self._connections, self._processes = [], []

    def _fork(self, workers: Iterable[Any]) -> None:
        context = multiprocessing.get_context("fork")
        for worker in workers:
            ours, theirs = context.Pipe()
            self._connections.append(ours)
            process = context.Process(target=_serve, args=(worker, theirs, list(self._connections)), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)

    @contextmanager
    def _ended_processes(self) -> Generator[None, None, None]:
        """Turns a broken connection into a :class:`WeakspotError` that says how a process has ended."""
        try:
            yield
        except (EOFError, ConnectionError) as error:
            for process in self._processes:
                process.join(_EXIT_SECONDS)
            codes = [process.exitcode for process in self._processes if process.exitcode is not None]
            raise WeakspotError(
                f"a process with environments ended unexpectedly, with exit code {', '.join(map(str, codes)) or 'unknown'}",
                expected="processes that run until the stage is finished",
                todo="check whether memory ran out, which is exit code -9; the same command continues where it stopped",
            ) from error


def _serve(worker: Any, connection: Connection, others: Sequence[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()  # these copies would keep the connections open after the parent process has ended
    while True:
        try:
            method, words = connection.recv()
        except (EOFError, ConnectionError):
            worker.close()
            return
        try:
            result = getattr(worker, method)(*words)
        except Exception as error:
            result = error
        try:
            connection.send(result)
        except ConnectionError:
            return

"""Copies of one environment in a few processes, each of which can be brought into any state and played on from there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from weakspot.actions import Action
from weakspot.envs.base import Environment, EnvironmentSpec, Reseedable, Step
from weakspot.envs.forked import ForkedWorkers, shares
from weakspot.envs.parallel import SharedSteps
from weakspot.envs.plays import Play, Trial, attempts, edited, set_mark

FAILED = "the environment failed"
"""Cause of the end of an episode in which the environment raised an exception."""
MARKED = 16
"""Snapshots that each process keeps as marks."""


@dataclass(frozen=True)
class Place:
    """A state in which play starts.

    Attributes:
        snapshot: of the environment.
        seed: of what happens from there on, where the environment can be seeded anew; None keeps its random state.
    """

    snapshot: bytes
    seed: int | None = None


def _no_environments() -> dict[int, Environment]:
    return {}


def _no_marks() -> OrderedDict[int, Any]:
    return OrderedDict()


@dataclass
class _Slots:
    """The environments of one process; see the methods of :class:`EnvironmentPool`."""

    numbers: Sequence[int]
    factory: Callable[[], Environment]
    current: SharedSteps
    environments: dict[int, Environment] = field(default_factory=_no_environments)
    tried: Environment | None = None
    marks: OrderedDict[int, Any] = field(default_factory=_no_marks)

    def make(self, seed: int) -> None:
        for number in self.numbers:
            self.environments[number] = self.factory()
            self.current.write(number, self.environments[number].reset(seed + number), None)

    def place(self, places: Mapping[int, Place]) -> None:
        for number, place in places.items():
            environment = self.environments[number]
            step = environment.restore(place.snapshot)
            if place.seed is not None and isinstance(environment, Reseedable):
                environment.reseed(place.seed)
            self.current.write(number, step, None)

    def step(self, actions: Mapping[int, Action]) -> dict[int, str]:
        ended: dict[int, str] = {}
        for number, action in actions.items():
            try:
                result = self.environments[number].step(action)
            except Exception:  # environments of other packages may raise any exception in an edited state
                self.environments[number] = self.factory()
                result = _failed(self.environments[number].reset(number))
            if result.terminated or result.truncated:
                ended[number] = result.cause
            self.current.write(number, result, result)
        return ended

    def trials(self, mark: int, snapshot: bytes | None, trials: Sequence[Trial]) -> list[Play | None]:
        environment = self._for_trials()
        if snapshot is not None:
            environment.restore(snapshot)
            self.marks[mark] = set_mark(environment)
            if len(self.marks) > MARKED:
                self.marks.popitem(last=False)
        return attempts(environment, self.marks[mark], trials)

    def edited(self, snapshot: bytes, changes: Mapping[int, float]) -> bytes | None:
        return edited(self._for_trials(), snapshot, changes)

    def close(self) -> None:
        for environment in (*self.environments.values(), *([self.tried] if self.tried else [])):
            environment.close()

    def _for_trials(self) -> Environment:
        """An environment that is only used for trials, so that its marks stay valid."""
        if self.tried is None:
            self.tried = self.factory()
            self.tried.reset(0)
        return self.tried


def _failed(step: Step) -> Step:
    """The step of an environment that failed: its episode is over."""
    return replace(step, reward=0.0, terminated=True, truncated=False, life_lost=False, cause=FAILED)


class EnvironmentPool:
    """``count`` copies of an environment, divided among processes.

    Unlike :class:`weakspot.envs.parallel.ParallelEnvironments`, each copy can be restored and stepped without the others,
    an episode that has ended stays ended until the copy is placed elsewhere, and a copy that fails is made anew.

    Args:
        factory: makes one environment; called in the processes.
        spec: of such an environment.
        count: E, number of copies.
        workers: number of processes, by default one per core.

    Attributes:
        current: observations and frames, and the results of the last actions, of all copies.
        count: E.
    """

    def __init__(
        self, factory: Callable[[], Environment], spec: EnvironmentSpec, count: int, workers: int | None = None
    ) -> None:
        self.spec, self.current, self.count = spec, SharedSteps.shared(spec, count), count
        self._parts = shares(count, workers)
        self._worker_of = {number: w for w, part in enumerate(self._parts) for number in part}
        self._workers = ForkedWorkers([_Slots(part, factory, self.current) for part in self._parts])
        self._marks: OrderedDict[bytes, int] = OrderedDict()
        self._next_mark = 0
        try:
            self._workers.call("make", [(0,)] * len(self._parts))
        except BaseException:
            self.close()
            raise

    def place(self, places: Mapping[int, Place]) -> None:
        """Brings copies, given by their numbers, into states.

        Raises:
            SnapshotError: a snapshot is damaged or of another environment.
        """
        self._workers.call("place", [(part,) for part in self._divided(places)])

    def step(self, actions: Mapping[int, Action]) -> dict[int, str]:
        """Takes one action in each of the given copies.

        Returns:
            The copies whose episodes ended, and why, if the environment says so; the cause of copies that raised an
            exception is :data:`FAILED`.
        """
        ended: list[dict[int, str]] = self._workers.call("step", [(part,) for part in self._divided(actions)])
        return {number: cause for part in ended for number, cause in part.items()}

    def trials(self, snapshot: bytes, trials: Sequence[Trial]) -> list[Play | None]:
        """Restores a snapshot, changes variables and takes actions, once for each trial.

        Returns:
            One for each trial: what happened, or None if its changes are impossible.
        """
        known = snapshot in self._marks
        if not known:
            self._marks[snapshot], self._next_mark = self._next_mark, self._next_mark + 1
            if len(self._marks) > MARKED:
                self._marks.popitem(last=False)
        words = (self._marks[snapshot], None if known else snapshot)
        workers = len(self._parts)
        parts = self._workers.call("trials", [(*words, trials[w::workers]) for w in range(workers)])
        plays: list[Play | None] = [None] * len(trials)
        for worker, part in enumerate(parts):
            plays[worker::workers] = part
        return plays

    def edited(self, snapshot: bytes, changes: Mapping[int, float]) -> bytes | None:
        """The snapshot with changed variables; None if the changes are impossible."""
        return self._workers.call_first("edited", snapshot, changes) if changes else snapshot

    def close(self) -> None:
        """Ends the processes."""
        self._workers.close()

    def __enter__(self) -> EnvironmentPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _divided(self, by_number: Mapping[int, Any]) -> list[dict[int, Any]]:
        parts: list[dict[int, Any]] = [{} for _ in self._parts]
        for number, value in by_number.items():
            parts[self._worker_of[number]][number] = value
        return parts

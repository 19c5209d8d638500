"""Playing on from recorded states: with changed variables, given actions, or the agent's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from weakspot.actions import Action
from weakspot.artifacts.twins import Twin
from weakspot.artifacts.weaknesses import StartRecord
from weakspot.data.dataset import StateDataset
from weakspot.envs.base import Environment, Step
from weakspot.envs.editable import Editable, can_edit
from weakspot.envs.plays import Play, Trial, attempt, attempts, set_mark, take
from weakspot.envs.pool import EnvironmentPool
from weakspot.errors import DatasetError, SnapshotError

CACHED = 64
"""Snapshots of recorded states that are kept in memory."""


@dataclass(frozen=True)
class Route:
    """How a state of the environment is made; the same route always makes the same state.

    Attributes:
        start: index of the recorded state where it begins.
        changes: values of variables there, by their positions.
        actions: taken afterwards.
    """

    start: int
    changes: Mapping[int, float] = field(default_factory=dict[int, float])
    actions: tuple[Action, ...] = ()


def started_player(environment: Environment, dataset: StateDataset, pool: EnvironmentPool | None = None) -> Player:
    """A player with an environment that has been reset once, so that its variables can be read.

    Raises:
        DatasetError: the data set has no snapshots.
    """
    if not len(dataset.with_snapshots()):
        raise DatasetError(
            f"{dataset.folder} has no snapshots", expected="states from which can be played on", todo="collect them again"
        )
    environment.reset(0)
    return Player(environment, dataset, pool)


def route_to(start: StartRecord) -> Route:
    """The route to a state that rollouts started from."""
    return Route(start.start, start.changes, start.actions)


def route_to_twin(twin: Twin) -> Route:
    """The route to a twin."""
    return Route(twin.start, {change.position: change.after for change in twin.changes}, twin.actions)


class Player:
    """One environment that plays on from the states of a data set.

    Args:
        environment: like the one that was collected.
        dataset: with snapshots.
        pool: copies of the environment, for trials in several processes.
    """

    def __init__(self, environment: Environment, dataset: StateDataset, pool: EnvironmentPool | None = None) -> None:
        self.environment, self.dataset, self.pool = environment, dataset, pool
        self.editable = cast("Editable", environment) if can_edit(environment) else None
        """The environment, if its state can be edited."""
        self.steps = 0
        """Steps played so far."""
        self._placed: OrderedDict[int, bytes] = OrderedDict()

    def place(self, index: int) -> bytes:
        """A snapshot of the environment in a recorded state.

        Raises:
            DatasetError: the data set has no snapshots.
            SnapshotError: a snapshot is damaged, or playing from it does not lead to the recorded frames.
        """
        if index in self._placed:
            self._placed.move_to_end(index)
            return self._placed[index]
        at, snapshot = self.dataset.snapshot_before(index)
        step = self.environment.restore(snapshot)
        for number in range(at, index):
            step = self.environment.step(self._recorded_action(number))
            if step.terminated or step.truncated:
                step = self.environment.reset()
        self.steps += index - at
        if not np.array_equal(step.frame, self.dataset.newest(np.array([index]))[0]):
            raise SnapshotError(
                f"playing from a snapshot to state {index} shows another frame than the recorded one",
                expected="the environment and the version of it that were collected",
                todo="collect the states again",
            )
        self._placed[index] = self.environment.snapshot()
        if len(self._placed) > CACHED:
            self._placed.popitem(last=False)
        return self._placed[index]

    def recorded_actions(self, start: int, count: int) -> tuple[Action, ...]:
        """The ``count`` actions that were taken from a recorded state on."""
        return tuple(self._recorded_action(number) for number in range(start, start + count))

    def play(self, snapshot: bytes, changes: Mapping[int, float], actions: Sequence[Action]) -> Play | None:
        """Restores a snapshot, changes variables, and takes at least one action.

        None if the changes are impossible: if they are refused, or if the environment fails afterwards.
        """
        self.environment.restore(snapshot)
        return self.attempt(Trial(changes, actions)) if changes else self.take(actions)

    def trials(self, snapshot: bytes, trials: Sequence[Trial]) -> list[Play | None]:
        """Restores a snapshot once for each trial; divided among processes if there is a pool.

        None for trials whose changes or actions are impossible.
        """
        if self.pool is None:
            self.environment.restore(snapshot)
            plays = attempts(self.environment, set_mark(self.environment), trials)
        else:
            plays = self.pool.trials(snapshot, trials)
        self.steps += sum(len(play.frames) for play in plays if play)
        return plays

    def attempt(self, trial: Trial) -> Play | None:
        """Changes variables of the current state and takes actions; None if that is impossible."""
        play = attempt(self.environment, trial)
        self.steps += len(play.frames) if play else 0
        return play

    def take(self, actions: Sequence[Action]) -> Play:
        """Takes at least one action in the current state."""
        play = take(self.environment, actions)
        self.steps += len(play.frames)
        return play

    def snapshot_of(self, route: Route) -> bytes:
        """A snapshot of the state that a route leads to.

        Raises:
            SnapshotError: it leads nowhere any more.
        """
        if not route.actions:
            return self.place(route.start)
        play = self.make(route)
        if play is None or play.ended:
            raise SnapshotError(
                f"the changes and actions from state {route.start} end the episode or are refused",
                expected="the environment and the version of it that they were found in",
                todo="run the stages again",
            )
        return self.environment.snapshot()

    def follow(self, route: Route, stack: np.ndarray, name: str) -> Step:
        """Brings the environment into a state that was made before.

        Args:
            route: that makes it.
            stack: the state (k, h, w, c), which has to be drawn again.
            name: of the state, for the error.

        Raises:
            SnapshotError: other frames are drawn.
        """
        if not route.actions:
            return self.environment.restore(self.place(route.start))
        made = self.make(route)
        drawn = None if made is None else made.frames[-len(stack) :]
        if made is None or drawn is None or not np.array_equal(drawn, stack[-len(drawn) :]):
            raise SnapshotError(
                f"the same changes and actions lead to other frames than before: {name}",
                expected="a deterministic environment, and the version of it that the state was found in",
                todo="look for random numbers in it that its snapshots do not contain, or run the ground stage again",
            )
        return made.last

    def make(self, route: Route) -> Play | None:
        """Follows a route with at least one action."""
        return self.play(self.place(route.start), route.changes, route.actions)

    def _recorded_action(self, number: int) -> Action:
        action: Any = self.dataset.action[number]
        return int(action) if np.ndim(action) == 0 else tuple(float(value) for value in action)

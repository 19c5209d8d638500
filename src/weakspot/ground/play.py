"""Playing on from recorded states: with changed variables, given actions, or the agent's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from weakspot.actions import Action
from weakspot.data.dataset import StateDataset
from weakspot.envs.base import Environment, Step
from weakspot.envs.editable import Editable, can_edit
from weakspot.errors import SnapshotError

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


@dataclass(frozen=True)
class Play:
    """What happened after some actions.

    Attributes:
        frames: after each action (m, h, w, c).
        last: the step after the last action.
        ended: whether the episode ended, possibly before the last action.
    """

    frames: np.ndarray
    last: Step
    ended: bool


class Player:
    """One environment that plays on from the states of a data set.

    Args:
        environment: like the one that was collected.
        dataset: with snapshots.
    """

    def __init__(self, environment: Environment, dataset: StateDataset) -> None:
        self.environment, self.dataset = environment, dataset
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
            step = self._step(self._recorded_action(number))
            if step.terminated or step.truncated:
                step = self.environment.reset()
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
        if not changes:
            return self.take(actions)
        assert self.editable is not None, "only editable environments get changes"
        return self.attempt(changes, actions)

    def attempt(self, changes: Mapping[int, float], actions: Sequence[Action]) -> Play | None:
        """Changes variables of the current state and takes at least one action; None if that is impossible.

        Environments of other packages may raise any exception in states that play does not lead to.
        """
        try:
            if self.editable is not None and changes:
                self.editable.write_variables(changes)
            return self.take(actions)
        except Exception:
            return None

    def take(self, actions: Sequence[Action]) -> Play:
        """Takes at least one action in the current state."""
        steps: list[Step] = []
        for action in actions:
            steps.append(self._step(action))
            if steps[-1].terminated or steps[-1].truncated:
                break
        last = steps[-1]
        return Play(np.stack([step.frame for step in steps]), last, last.terminated or last.truncated)

    def make(self, route: Route) -> Play | None:
        """Follows a route with at least one action."""
        return self.play(self.place(route.start), route.changes, route.actions)

    def _step(self, action: Action) -> Step:
        self.steps += 1
        return self.environment.step(action)

    def _recorded_action(self, number: int) -> Action:
        action: Any = self.dataset.action[number]
        return int(action) if np.ndim(action) == 0 else tuple(float(value) for value in action)

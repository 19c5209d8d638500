"""What happens when actions are taken from a state that was restored, possibly with changed variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np

from weakspot.actions import Action
from weakspot.envs.base import Environment, Markable, Step
from weakspot.envs.editable import Editable


@dataclass(frozen=True)
class Trial:
    """What is tried in a state.

    Attributes:
        changes: values of variables, by their positions.
        actions: at least one, taken afterwards.
    """

    changes: Mapping[int, float]
    actions: Sequence[Action]


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


def set_mark(environment: Environment) -> Any:
    """The current state, for :func:`go_back`: the environment's own kind of mark, or else a snapshot."""
    return cast(Markable, environment).mark() if _can_mark(type(environment)) else environment.snapshot()


def go_back(environment: Environment, mark: Any) -> Step:
    """Returns to a state that was marked in the same environment object, and returns the step that was current then."""
    return cast(Markable, environment).go_back(mark) if _can_mark(type(environment)) else environment.restore(mark)


@cache
def _can_mark(kind: type[Environment]) -> bool:
    """Whether environments of a class set marks; remembered, since checks of protocols take as long as an emulator frame."""
    return issubclass(kind, Markable)


def take(environment: Environment, actions: Sequence[Action]) -> Play:
    """Takes at least one action in the current state, until the episode ends."""
    steps: list[Step] = []
    for action in actions:
        steps.append(environment.step(action))
        if steps[-1].terminated or steps[-1].truncated:
            break
    last = steps[-1]
    return Play(np.stack([step.frame for step in steps]), last, last.terminated or last.truncated)


def attempt(environment: Environment, trial: Trial) -> Play | None:
    """Changes variables of the current state and takes actions; None if that is impossible.

    Environments of other packages may raise any exception in states that play does not lead to.
    """
    try:
        _write(environment, trial.changes)
        return take(environment, trial.actions)
    except Exception:
        return None


def attempts(environment: Environment, mark: Any, trials: Sequence[Trial]) -> list[Play | None]:
    """Makes each of the trials from a mark; see :func:`set_mark` and :func:`attempt`."""
    plays: list[Play | None] = []
    for trial in trials:
        go_back(environment, mark)
        plays.append(attempt(environment, trial))
    return plays


def edited(environment: Environment, snapshot: bytes, changes: Mapping[int, float]) -> bytes | None:
    """The snapshot with changed variables; None if that is impossible, see :func:`attempt`."""
    environment.restore(snapshot)
    try:
        _write(environment, changes)
        return environment.snapshot()
    except Exception:
        return None


def _write(environment: Environment, changes: Mapping[int, float]) -> None:
    """Changes variables of the current state, if there are changes; raises what the environment raises."""
    if changes:
        cast(Editable, environment).write_variables(changes)  # only editable environments get changes

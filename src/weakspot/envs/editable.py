"""Environments whose state consists of named variables that can be read and changed.

After a change, the frames of the state are still those from before: the environment draws the changed state when it is
played on.  So a changed state is complete after as many steps as a state has frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from weakspot.errors import EditError


@dataclass(frozen=True)
class Variable:
    """A variable of an environment's state.

    Attributes:
        name: such as ``byte 102 (oxygen)``.
        low, high: the smallest and the largest value; infinite if there is no bound.
        whole: whether it takes whole numbers only.
        group: name of what it belongs to together with others, such as ``person 3``; empty if it stands alone.
        words: what its values from 0 on mean, such as ``walking``; empty if they are quantities.
    """

    name: str
    low: float
    high: float
    whole: bool = False
    group: str = ""
    words: tuple[str, ...] = ()

    def in_words(self, value: float) -> str:
        """A value as a reader sees it."""
        return self.words[int(value)] if self.words else f"{value:.4g}"


@runtime_checkable
class Editable(Protocol):
    """What an environment has in addition to :class:`weakspot.envs.base.Environment` if its state can be edited."""

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variables, in a fixed order; empty if this environment cannot be edited after all."""
        ...

    def read_variables(self) -> np.ndarray:
        """The values of all variables in the current state (v,), float64.

        Raises:
            ConfigError: there has been no reset yet.
        """
        ...

    def write_variables(self, changes: Mapping[int, float]) -> None:
        """Changes variables of the current state, given by their positions.

        Raises:
            EditError: there is no such variable, a value is out of bounds, or the values do not fit together.
            ConfigError: no episode is running.
        """
        ...


def can_edit(environment: object) -> bool:
    """Whether the state of an environment can be edited."""
    return isinstance(environment, Editable) and bool(environment.variables)


def check_changes(variables: tuple[Variable, ...], changes: Mapping[int, float]) -> dict[int, float]:
    """The changes as plain numbers.

    Raises:
        EditError: there is no such variable, or a value is out of bounds or not a whole number.
    """
    checked: dict[int, float] = {}
    for position, value in changes.items():
        if not 0 <= position < len(variables):
            raise EditError(
                f"a change of variable {position}",
                expected=f"a position from 0 to {len(variables) - 1}",
                todo="look the variable up in the environment's variables",
            )
        variable, number = variables[position], float(value)
        whole = math.isfinite(number) and (not variable.whole or number == round(number))
        if not (whole and variable.low <= number <= variable.high):
            kind = "a whole number" if variable.whole else "a number"
            raise EditError(
                f"{variable.name} = {value}",
                expected=f"{kind} from {variable.low:g} to {variable.high:g}",
                todo="change it to such a value",
            )
        checked[int(position)] = number
    return checked


def name_changes(variables: tuple[Variable, ...], before: np.ndarray, changes: Mapping[int, float]) -> list[str]:
    """The changes in words, such as ``byte 102: 40 to 3``."""
    return [
        f"{variables[i].name}: {variables[i].in_words(before[i])} to {variables[i].in_words(value)}"
        for i, value in sorted(changes.items())
    ]

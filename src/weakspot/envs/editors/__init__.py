"""Editors of gymnasium environments: each takes the state of one kind of environment apart into variables.

A package adds an editor through an entry point:

    [project.entry-points."weakspot.editors"]
    grid = "their_package.grid"

The entry point names a module or an object with the four functions of :class:`Editor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from weakspot.envs.editable import Variable
from weakspot.errors import ExtensionError
from weakspot.system.registry import Registry


@runtime_checkable
class Editor(Protocol):
    """Reads and writes the variables of an environment without its wrappers; a module or an object."""

    def recognises(self, env: Any) -> bool:
        """Whether the environment is of this kind.  Called once for each environment, before its first reset."""
        ...

    def variables(self, env: Any) -> tuple[Variable, ...]:
        """The variables, in a fixed order."""
        ...

    def read(self, env: Any) -> np.ndarray:
        """The values of the variables (v,), after a reset."""
        ...

    def write(self, env: Any, changes: Mapping[int, float]) -> None:
        """Changes variables, given by their positions; the values are within the bounds.

        Raises:
            EditError: the values do not fit together.
        """
        ...


EDITORS: Registry[Editor] = Registry(
    "weakspot.editors",
    {
        "classic-control": "weakspot.envs.editors.classic_control",
        "car-racing": "weakspot.envs.editors.car_racing",
        "mujoco": "weakspot.envs.editors.mujoco",
    },
)


def editor_of(env: Any) -> Editor | None:
    """The first editor that recognises an environment without its wrappers, or None.

    Raises:
        ExtensionError: the editor of another package cannot be loaded, or is not an editor.
    """
    for name, editor in EDITORS.items():
        checked = cast("object", editor)
        if isinstance(checked, type) or not isinstance(checked, Editor):
            raise ExtensionError(
                f"{name!r} of {EDITORS.group} is {checked!r}",
                expected="a module or an object (not a class) with the functions recognises, variables, read and write",
                todo="update or remove the package that provides it",
            )
        if checked.recognises(env):
            return checked
    return None

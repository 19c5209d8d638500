"""Families of environments: which one a reference such as ``pong`` or ``CarRacing-v3`` belongs to.

A package adds a family of its own through an entry point:

    [project.entry-points."weakspot.environments"]
    grid = "their_package.grid"

The entry point names a module or an object with the two functions of :class:`EnvironmentFamily`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from weakspot.envs.driving.registration import register
from weakspot.errors import ExtensionError, UnknownGameError
from weakspot.games import resolve_game
from weakspot.system.registry import Registry

if TYPE_CHECKING:
    from weakspot.envs.base import Environment


@runtime_checkable
class EnvironmentFamily(Protocol):
    """Environments that are made the same way: a module or an object with these two functions."""

    def recognises(self, reference: str) -> bool:
        """Whether the reference names an environment of this family.  Called often, so it makes nothing."""
        ...

    def factory(self, reference: str) -> Callable[[], Environment]:
        """A function that makes one copy of the environment; it is called once per stream, in forked processes.

        Raises:
            WeakspotError: the environment cannot be made.
        """
        ...


GYMNASIUM = "gymnasium"
"""The family that recognises every id of gymnasium; it comes last, after those of other packages."""

FAMILIES: Registry[EnvironmentFamily] = Registry(
    "weakspot.environments",
    {
        "driving": "weakspot.envs.families.driving",
        "description": "weakspot.envs.families.description",
        "atari": "weakspot.envs.families.atari",
        GYMNASIUM: "weakspot.envs.families.gymnasium_ids",
    },
)


def family_of(reference: str) -> str:
    """Name of the first family that recognises a reference: those of weakspot, then those of other packages, then
    gymnasium.

    Raises:
        UnknownGameError: no family recognises it; the message suggests similar names.
        ExtensionError: the family of another package cannot be loaded, or is not a family.
    """
    for name in sorted(FAMILIES.names(), key=lambda name: name == GYMNASIUM):
        if load_family(name).recognises(reference):
            return name
    raise _unknown(reference)


def load_family(name: str) -> EnvironmentFamily:
    """The family with a name such as ``atari``.

    Raises:
        ExtensionError: there is none of that name, or it cannot be loaded, or it is not a family.
    """
    family = cast("object", FAMILIES.load(name))
    if isinstance(family, type) or not isinstance(family, EnvironmentFamily):
        raise ExtensionError(
            f"{name!r} of {FAMILIES.group} is {family!r}",
            expected="a module or an object (not a class) with the functions recognises(reference) and factory(reference)",
            todo="update or remove the package that provides it",
        )
    return family


def _unknown(reference: str) -> UnknownGameError:
    import gymnasium

    register()
    try:
        resolve_game(reference)
    except UnknownGameError as error:
        expected, todo = error.expected, error.todo
    else:
        expected, todo = "an environment that is installed", ""
    similar = difflib.get_close_matches(reference, gymnasium.registry, n=3, cutoff=0.7)
    return UnknownGameError(
        f"no environment is called {reference!r}: gymnasium has no such id, and there is no such Atari game",
        expected=f"perhaps {' or '.join(similar)}" if similar else expected,
        todo="install the package that registers the environment, or write module:id" if similar else todo,
    )

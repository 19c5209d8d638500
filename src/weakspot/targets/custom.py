"""Targets written by users, ``path.py:function``, and by other packages, through the entry point group ``weakspot.targets``.

Both are differentiable functions from :class:`~weakspot.agents.base.AgentOutput` to energies (b,).  The first line of the
docstring becomes the description in the report.
"""

from __future__ import annotations

import inspect

from weakspot.errors import ExtensionError, TargetError, UnknownTargetError
from weakspot.system.user_code import function_in, parse_reference
from weakspot.targets import names
from weakspot.targets.base import Energy, Target


def from_file(reference: str) -> Target:
    """The target ``path.py:function``.  Runs the file.

    Raises:
        UnknownTargetError: there is no such file, or no such function in it.
        TargetError: the file raises an error.
    """
    parsed = parse_reference(reference)
    if parsed is None:
        raise UnknownTargetError(f"no target {reference!r}", expected="path.py:function", todo="name a Python file")
    path, function = parsed
    energy: Energy = function_in(path, function, TargetError, UnknownTargetError)
    slug = names.custom_slug(f"{path.stem}-{function}")
    return _target(reference, slug, function, energy, "A target of the user's own.")


def from_entry_point(name: str) -> Target:
    """The target that another package registered as ``name``.

    Raises:
        ExtensionError: there is none, it cannot be imported, or it is not a function.
    """
    energy: Energy = names.TARGETS.load(name)
    if not callable(energy):
        raise ExtensionError(
            f"target {name!r} of {names.TARGETS.group} is {type(energy).__name__}",
            expected="a function from AgentOutput to energies (b,)",
            todo="update or remove the package that provides it",
        )
    return _target(name, names.custom_slug(name), name, energy, "A target of an installed package.")


def _target(name: str, slug: str, function: str, energy: Energy, default_description: str) -> Target:
    """Wraps ``energy``; its title and equation come from the function's name."""
    description = (inspect.getdoc(energy) or default_description).splitlines()[0]
    return Target(name, slug, function.replace("_", " "), description, f"{function}(A(s))", energy)

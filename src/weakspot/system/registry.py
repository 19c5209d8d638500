"""Named extensions: built-in ones, and those that other packages add through entry points.

A third party registers an extension in its ``pyproject.toml``:

    [project.entry-points."weakspot.targets"]
    unsure = "their_package.targets:unsure"

An extension is imported when it is loaded; listing names imports nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from weakspot.errors import ExtensionError

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The extensions of one entry point group.

    Attributes:
        group: of the entry points, such as ``weakspot.recipes``.
        builtin: name to ``module:attribute`` of the built-in extensions; they come first and cannot be replaced.
    """

    group: str
    builtin: Mapping[str, str]

    @cached_property
    def _extensions(self) -> dict[str, EntryPoint]:
        extensions = {name: EntryPoint(name, value, self.group) for name, value in self.builtin.items()}
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            extensions.setdefault(point.name, point)
        return extensions

    def names(self) -> tuple[str, ...]:
        """The names of all extensions, built-in ones first."""
        return tuple(self._extensions)

    def __contains__(self, name: object) -> bool:
        """Whether there is an extension of that name."""
        return name in self._extensions

    def load(self, name: str) -> T:
        """Imports and returns the extension ``name``.

        Raises:
            ExtensionError: there is no such extension, or it cannot be imported.
        """
        if name not in self._extensions:
            close = difflib.get_close_matches(name, self._extensions, n=3)
            raise ExtensionError(
                f"{self.group} has no {name!r}",
                expected=f"one of {', '.join(self._extensions)}",
                todo=f"did you mean {' or '.join(close)}?" if close else "install the package that provides it",
            )
        point = self._extensions[name]
        try:
            loaded: Any = point.load()
        except Exception as error:  # importing a third-party module can raise anything
            raise ExtensionError(
                f"{name!r} of {self.group} cannot be loaded from {point.value}: {type(error).__name__}: {error}",
                expected="a module that imports without errors",
                todo="reinstall or remove the package that provides it",
            ) from error
        return loaded

    def provider(self, name: str) -> str:
        """The package that adds an extension, with its version; empty for built-in extensions and unknown names."""
        point = self._extensions.get(name)
        return f"{point.dist.name} {point.dist.version}" if point and point.dist else ""

    def items(self) -> Iterator[tuple[str, T]]:
        """All names and extensions; each extension is imported when it is reached."""
        for name in self._extensions:
            yield name, self.load(name)

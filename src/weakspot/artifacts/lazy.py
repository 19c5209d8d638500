"""A mapping that reads its values when they are first accessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class LazyMapping(Mapping[str, T]):
    """Maps each key to what its reader returns; each reader is called at most once.

    Args:
        readers: by key. Exceptions of a reader are raised by the access to its key.
    """

    def __init__(self, readers: Mapping[str, Callable[[], T]]) -> None:
        self._readers = dict(readers)
        self._values: dict[str, T] = {}

    def __getitem__(self, key: str) -> T:
        if key not in self._values:
            self._values[key] = self._readers[key]()
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._readers)})"

"""Validation of seeds and of settings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Any, cast

from weakspot.errors import ConfigError

END = 2**40
"""Upper bound (exclusive) of seeds: generators are seeded with multiples of a seed, which must fit into 64 bits."""


def check_seed(seed: int) -> None:
    """Raises :class:`ConfigError` if ``seed`` is negative or not below :data:`END`."""
    if not 0 <= seed < END:
        raise ConfigError(f"seed is {seed}", expected="a whole number from 0 to below 2^40")


def check_positive(config: Any, *names: str) -> None:
    """Raises :class:`ConfigError` if one of these settings of ``config`` is not a finite number above 0."""
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise ConfigError(f"{name} is {getattr(config, name)}", expected="a positive number")


def check_not_negative(config: Any, *names: str) -> None:
    """Raises :class:`ConfigError` if one of these settings of ``config`` is not a finite number, at least 0."""
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise ConfigError(f"{name} is {getattr(config, name)}", expected="a number, at least 0")


def check_text(config: Any) -> None:
    """Raises :class:`ConfigError` if a text or path in the settings ``config``, a dataclass, cannot be written as UTF-8.

    Results record their settings as UTF-8, so such a run could not be read again.
    """
    for name, text in _texts("", asdict(config)):
        check_path(name, text)


def check_path(name: str, path: str | PurePath) -> None:
    """Raises :class:`ConfigError` if a path or text cannot be written as UTF-8; ``name`` says what it is."""
    text = str(path)
    if "\0" in text or not _is_utf8(text):
        shown = text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
        raise ConfigError(
            f"{name} is {shown!r}, which is not text in UTF-8",
            expected="names and paths in UTF-8",
            todo="rename the file or folder, or choose another",
        )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """All texts and paths in nested settings, with the names of the settings."""
    if isinstance(value, dict):
        for key, part in cast("dict[str, object]", value).items():
            yield from _texts(f"{name}.{key}" if name else key, part)
    elif isinstance(value, list | tuple):
        for part in cast("list[object]", value):
            yield from _texts(name, part)
    elif isinstance(value, str | PurePath):
        yield name, str(value)

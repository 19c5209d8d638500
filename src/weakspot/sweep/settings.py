"""Plain data as dataclasses of settings: unknown names and wrong types are errors that name the entry."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

import msgspec

from weakspot.errors import ConfigError

T = TypeVar("T")


def with_underscores(entries: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which all names, at any depth, are spelled as in Python: ``policy-values`` is ``policy_values``."""
    return {name.replace("-", "_"): _renamed(value) for name, value in entries.items()}


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return with_underscores(cast("dict[str, Any]", value))
    return [_renamed(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings in which those of ``second`` take precedence."""
    result = dict(first)
    for name, value in second.items():
        before = result.get(name)
        nested = isinstance(before, dict) and isinstance(value, dict)
        result[name] = merged(cast("dict[str, Any]", before), cast("dict[str, Any]", value)) if nested else value
    return result


def convert(entries: Mapping[str, Any], kind: type[T], place: str) -> T:
    """The dataclass with these entries.

    Args:
        entries: values by the names of fields, tables for nested dataclasses, lists for tuples.
        kind: the dataclass.
        place: name of the entries in error messages.

    Raises:
        ConfigError: an entry is unknown, missing, or has the wrong type or an invalid value.
    """
    _check_names(entries, kind, place)
    try:
        return msgspec.convert(dict(entries), kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        text = str(error).replace("$.", f"{place}." if place else "").replace("`", "")
        raise ConfigError(text, expected="values of the types that the settings have", todo="change the entry") from error


def _path(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"Expected a path, got {value!r}")  # msgspec adds the place


def _check_names(entries: Mapping[str, Any], kind: type[Any], place: str) -> None:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    for name, value in entries.items():
        where = f"{place}.{name}" if place else name
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            raise ConfigError(
                f"there is no setting {where}",
                expected=", ".join(names),
                todo=f"did you mean {close[0]}?" if close else "remove it",
            )
        for part in (hints[name], *get_args(hints[name])):
            if is_dataclass(part) and isinstance(part, type):
                for table in cast("list[Any]", value) if isinstance(value, list) else [value]:
                    if isinstance(table, dict):
                        _check_names(cast("dict[str, Any]", table), part, where)

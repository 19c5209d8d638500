"""The options of a command as data, read from the dataclass of its settings: for shell completion and the reference.

The names follow the rules of the command line: ``train.batch_size`` is ``--train.batch-size``, and a switch ``trust`` also
has ``--no-trust``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

NO_DEFAULT = dataclasses.MISSING


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes:
        names: with dashes, such as ``("--trust", "--no-trust")``; a positional argument has its name in capitals.
        kind: of its value, such as ``INT``; empty for a switch.
        choices: all possible values; empty if they are not listed.
        default: as it is written on the command line; None if a value is required.
        help: what it does.
        group: of the option, such as ``train``; empty for options of the command itself.
        group_help: what the settings of the group are.
        several: whether several values may follow.
    """

    names: tuple[str, ...]
    kind: str
    choices: tuple[str, ...]
    default: str | None
    help: str
    group: str
    group_help: str
    several: bool

    @property
    def positional(self) -> bool:
        """Whether the value is given without a name."""
        return not self.names[0].startswith("-")


def load_settings(path: str) -> type[Any]:
    """The dataclass at ``module:name``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


@cache
def options_of(settings: type[Any]) -> tuple[Option, ...]:
    """All options of a dataclass of settings, those of nested dataclasses after those of the dataclass itself."""
    found = tuple(_walk(settings, "", ""))
    return tuple(sorted(found, key=lambda option: option.group != ""))


def describe(settings: type[Any]) -> str:
    """The description of a dataclass: its docstring without the list of fields."""
    from docstring_parser import parse

    parsed = parse(settings.__doc__ or "")
    return " ".join(f"{parsed.short_description or ''} {parsed.long_description or ''}".split())


def _walk(settings: type[Any], prefix: str, group_help: str) -> Iterator[Option]:
    hints = get_type_hints(settings, include_extras=True)
    helps = _helps(settings)
    for field in dataclasses.fields(settings):
        hint = hints[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from _walk(hint, f"{prefix}{_dashed(field.name)}.", describe(hint))
        else:
            yield _option(field, hint, prefix, helps.get(field.name, ""), group_help)


def _option(field: dataclasses.Field[Any], hint: Any, prefix: str, text: str, group_help: str) -> Option:
    positional = False
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        positional = any("Positional" in str(mark) for mark in marks)
    name = f"{prefix}{_dashed(field.name)}"
    kinds, choices, several = _kinds(hint)
    if positional:
        names: tuple[str, ...] = (_dashed(field.name).upper(),)
    elif hint is bool:
        names, kinds = (f"--{name}", f"--{prefix}no-{_dashed(field.name)}"), ()
    else:
        names = (f"--{name}",)
    default = _default(field)
    return Option(names, "|".join(kinds), choices, default, text, prefix.rstrip("."), group_help, several)


def _kinds(hint: Any) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Kinds of the values, listed values, and whether several may follow."""
    origin = get_origin(hint)
    if origin is Literal:
        values = tuple(str(value) for value in get_args(hint))
        return (), values, False
    if origin in (Union, UnionType):
        parts = [_kinds(part) for part in get_args(hint) if part is not NoneType]
        kinds = tuple(kind for part in parts for kind in part[0])
        return kinds, tuple(choice for part in parts for choice in part[1]), any(part[2] for part in parts)
    if origin in (tuple, list):
        kinds, choices, _ = _kinds(get_args(hint)[0])
        return kinds, choices, True
    return ({Path: "PATH", str: "STR", int: "INT", float: "FLOAT"}.get(hint, "VALUE"),), (), False


def _default(field: dataclasses.Field[Any]) -> str | None:
    if field.default_factory is not NO_DEFAULT:
        value: Any = field.default_factory()
    elif field.default is NO_DEFAULT:
        return None
    else:
        value = field.default
    if isinstance(value, (tuple, list)):
        return " ".join(str(item) for item in cast("Sequence[object]", value))
    return str(value)


def _helps(settings: type[Any]) -> dict[str, str]:
    """The help of each field: from the list of attributes in the docstring of its class, or from the string behind it."""
    from docstring_parser import parse_from_object

    texts: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        if dataclasses.is_dataclass(base):
            for param in parse_from_object(base).params:
                texts |= {name.strip(): " ".join((param.description or "").split()) for name in param.arg_name.split(",")}
    return texts


def _dashed(name: str) -> str:
    return name.replace("_", "-")

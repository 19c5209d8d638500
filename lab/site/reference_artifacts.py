"""The reference of the artifacts: the schema of every JSON file, from its dataclass."""

from __future__ import annotations

import dataclasses
import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from docstring_parser import parse_from_object

import weakspot.artifacts
from lab.site.markdown import cell, code, prose, table

INTRO = """\
What the stages write, as JSON. [`load_run`](api.md#weakspot.artifacts.run.load_run) reads and checks all of it. Every
file has a field `schema` besides; a reader refuses a file whose schema is newer than it knows. Arrays are in `.npz`
files next to the JSON, which `load_run` reads on first access."""


def artifacts_page(root: Path) -> str:
    """One section for each artifact: its fields, and those of the dataclasses within."""
    parts = [
        "# Artifacts",
        INTRO,
        "The folders are described in [run folders and stores](../run_folder.md).",
    ]
    for module, artifacts in artifact_modules().items():
        text = (import_module(module).__doc__ or "").strip().splitlines()[0]
        parts.append(f"## {module.rpartition('.')[2].replace('_', ' ').capitalize()}\n\n{prose(text)}")
        for artifact in artifacts:
            parts.append(f"### {artifact.__name__}, schema {artifact.SCHEMA}\n\n{prose(_summary(artifact))}")
            for part in _parts(artifact):
                title = "" if part is artifact else f"`{part.__name__}`: {prose(_summary(part))}\n\n"
                parts.append(title + _fields(part))
            schema = json.dumps(msgspec.json.schema(artifact), indent=1)
            parts.append(f'??? note "JSON Schema of {artifact.__name__}"\n\n' + _indented(f"```json\n{schema}\n```"))
    return "\n\n".join(parts) + "\n"


def artifact_modules() -> dict[str, list[Any]]:
    """Module to the artifacts that it defines."""
    found: dict[str, list[Any]] = {}
    for info in pkgutil.iter_modules(weakspot.artifacts.__path__, "weakspot.artifacts."):
        module = import_module(info.name)
        for value in vars(module).values():
            own = isinstance(value, type) and value.__module__ == info.name
            if own and dataclasses.is_dataclass(value) and isinstance(getattr(value, "SCHEMA", None), int):
                found.setdefault(info.name, []).append(value)
    return found


def _parts(artifact: Any) -> Iterator[Any]:
    """The dataclass, and all dataclasses in its fields, each once."""
    seen: list[Any] = []

    def walk(kind: msgspec.inspect.Type) -> None:
        if isinstance(kind, msgspec.inspect.DataclassType) and kind.cls not in seen:
            seen.append(kind.cls)
            for field in kind.fields:
                walk(field.type)
        for name in ("item_type", "value_type", "type"):
            inner = getattr(kind, name, None)
            if isinstance(inner, msgspec.inspect.Type):
                walk(inner)
        for name in ("types", "item_types"):
            for inner in getattr(kind, name, ()):
                walk(inner)

    walk(msgspec.inspect.type_info(artifact))
    yield from seen


def _fields(kind: Any) -> str:
    helps: dict[str, str] = {}
    for param in parse_from_object(kind).params:
        helps |= {name.strip(): param.description or "" for name in param.arg_name.split(",")}
    rows = ((code(field.name), code(_type(field)), cell(helps.get(field.name, ""))) for field in dataclasses.fields(kind))
    return table(("field", "type", "meaning"), rows)


def _type(field: dataclasses.Field[Any]) -> str:
    return field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))


def _summary(kind: Any) -> str:
    return parse_from_object(kind).short_description or ""


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())

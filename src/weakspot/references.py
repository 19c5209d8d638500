"""The user's files that settings refer to; their digests are part of the keys of results.

Nothing here imports torch, so a run with nothing to do ends quickly.
"""

from __future__ import annotations

from pathlib import Path

from weakspot.envs.description import read_description
from weakspot.errors import ConfigError
from weakspot.system.provenance import file_digest
from weakspot.system.user_code import local_files, local_module, parse_reference


def code_digests(names: list[str]) -> list[str]:
    """Digests of the user's files that references such as ``path.py:function``, ``path.toml`` and ``module:id`` name, and of
    the local files that these import."""
    return [_digest(path, name) for name in names for path in code_files(name)]


def code_files(name: str) -> list[Path]:
    """The user's files that a reference names, and the local files they import; empty if it does not refer to code."""
    if reference := parse_reference(name):
        return local_files(reference[0])
    if (path := Path(name).expanduser()).suffix == ".toml":
        return [path, *_module_files(read_description(path).id, path.parent)]
    return _module_files(name, Path.cwd())


def _module_files(name: str, folder: Path) -> list[Path]:
    """The files of the module in ``module:id``, in a folder or in the current one."""
    module, colon, _ = name.partition(":")
    return sorted({*local_module(module, folder), *local_module(module)}) if colon else []


def _digest(path: Path, name: str) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise ConfigError(
            f"no file {path} for {name!r}" if isinstance(error, FileNotFoundError) else f"{path} cannot be read: {error}",
            expected="a readable file",
            todo="check the path",
        ) from error

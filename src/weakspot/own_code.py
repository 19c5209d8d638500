"""Functions that users write in Python files of their own, named as ``path.py:function``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from weakspot.errors import WeakspotError


def own(reference: str) -> tuple[Path, str] | None:
    """The file and the function's name; None for a name of another kind."""
    file, colon, function = reference.rpartition(":")
    return (Path(file).expanduser(), function) if colon and file.endswith(".py") else None


def function_in(path: Path, name: str, refused: type[WeakspotError], unknown: type[WeakspotError]) -> Callable[..., Any]:
    """The function of that name in a file of the user's.  The file is run.

    Args:
        path: of the file.
        name: of the function.
        refused: raised where the file raises an error.
        unknown: raised where there is no such file, or no such function in it.
    """
    if not path.is_file():
        raise unknown(f"no file {path}", expected="a Python file, as in path.py:function", todo="check the path")
    try:
        with importable(path.parent):
            module = _module(path)
    except Exception as error:
        raise refused(
            f"{path} raised {type(error).__name__} when it was read: {error}", todo="run the file by itself to see why"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        defined = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise unknown(
            f"{path} has no function {name!r}; it has {', '.join(defined[:8]) or 'none'}",
            expected="the name of a function in that file",
            todo=f"write {path}:NAME with one of these names" if defined else "write the function",
        )
    return function


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Lets a user's file import its neighbours, and those of the current folder, for as long as it is being run."""
    before = list(sys.path)
    sys.path[:0] = [str(folder.resolve()), str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before


def _module(path: Path) -> ModuleType:
    name = f"weakspot_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints in the file look themselves up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module

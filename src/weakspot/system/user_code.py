"""Functions that users write in Python files of their own, named as ``path.py:function``."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from weakspot.errors import WeakspotError

INSTALLED = {"site-packages", "dist-packages"}
"""Folders of what is no user's own."""


def parse_reference(reference: str) -> tuple[Path, str] | None:
    """The file and the function's name; None for a name of another kind."""
    file, colon, function = reference.rpartition(":")
    return (Path(file).expanduser(), function) if colon and file.endswith(".py") else None


def local_files(path: Path) -> list[Path]:
    """A Python file and all that it imports, and these import, out of its folder and the current one, by their absolute
    paths.  Nothing is run: imports are read off the code, wherever in it they stand; those by names that are made up as it
    runs are not seen."""
    first = path.resolve()
    found, waiting, roots = {first}, [first], (first.parent, Path.cwd())
    while waiting:
        file = waiting.pop()
        for folder, name in _imports(file, roots):
            new = {module.resolve() for module in _modules(folder, name)} - found
            found |= new
            waiting += new
    return sorted(found)


def local_module(name: str) -> list[Path]:
    """The files of a module of the current folder, with what they import; none if it is not there."""
    return sorted({file for module in _modules(Path.cwd(), name) for file in local_files(module)})


def _imports(file: Path, roots: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    """The modules that a file may import, each with the folder that its name counts from."""
    try:
        code = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # whoever runs it says what is wrong
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from ((root, part.name) for part in node.names for root in roots)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{part.name}" if node.module else part.name for part in node.names]
            folders = (file.parents[node.level - 1],) if 0 < node.level <= len(file.parents) else roots
            yield from ((folder, name) for name in names for folder in folders)


def _modules(folder: Path, name: str) -> Iterator[Path]:
    """The files, as far as they are there, that importing ``name`` reads in a folder: of packages and of what is in them."""
    place = folder
    for part in name.split("."):
        for file in (place / f"{part}.py", place / part / "__init__.py"):
            if file.is_file():
                yield file
        place = place / part


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
def importable(folder: Path) -> Generator[None]:
    """Lets a user's file import its neighbours, and those of the current folder, for as long as it is being run.

    Its own neighbours: those of the same name that another file of the user's has imported are put aside first.
    """
    _put_aside(folder.resolve())
    before = list(sys.path)
    sys.path[:0] = [str(folder.resolve()), str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before


def _put_aside(folder: Path) -> None:
    """Forgets modules that are called as one in ``folder`` but come from elsewhere; what holds them goes on with them.  What
    is of Python itself, or installed, stays."""
    names = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}
    for name in names - sys.stdlib_module_names:
        place = Path(getattr(sys.modules.get(name), "__file__", None) or folder / name).resolve()
        if folder not in place.parents and not INSTALLED & set(place.parts):
            for loaded in [other for other in sys.modules if other == name or other.startswith(f"{name}.")]:
                del sys.modules[loaded]


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

"""Functions in the user's Python files, referred to as ``path.py:function``."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from weakspot.errors import ConfigError, WeakspotError

INSTALLED = {"site-packages", "dist-packages"}
"""Folders of installed packages, which are not user code."""


def parse_reference(reference: str) -> tuple[Path, str] | None:
    """The file and the name of the function in ``path.py:function``; None if ``reference`` has another form."""
    file, colon, function = reference.rpartition(":")
    return (Path(file).expanduser(), function) if colon and file.endswith(".py") else None


def local_files(path: Path) -> list[Path]:
    """Absolute paths of a Python file and of all files it imports, directly or indirectly, from its folder and the current
    one.

    No code is run: imports are found in the syntax tree, at any depth.  Imports by names computed at run time are missed.
    """
    first = path.resolve()
    files, pending, roots = {first}, [first], (first.parent, Path.cwd())
    while pending:
        file = pending.pop()
        for folder, name in _imports(file, roots):
            new = {module.resolve() for module in _modules(folder, name)} - files
            files |= new
            pending += new
    return sorted(files)


def local_module(name: str, folder: Path | None = None) -> list[Path]:
    """The files of a module in a folder, by default the current one, and everything they import; empty if there is no such
    module."""
    return sorted({file for module in _modules(folder or Path.cwd(), name) for file in local_files(module)})


def import_named(reference: str, folder: Path) -> None:
    """Imports the module in ``module:id``, which may be in ``folder`` or in the current one; does nothing without a module.

    The folder stays at the end of ``sys.path``: the module may import others when it is used, also in other processes.

    Raises:
        ConfigError: the module does not exist, or raises an error.
    """
    name, colon, _ = reference.partition(":")
    if not colon:
        return
    try:
        with importable(folder):
            importlib.import_module(name)
    except Exception as error:
        raise ConfigError(
            f"the module {name} of {reference} cannot be imported: {type(error).__name__}: {error}",
            expected=f"an installed module, or {name}.py in {folder.resolve()} or in the current folder",
            todo="check the name, or run the command in the folder of the module",
        ) from error
    sys.path.extend(path for path in {str(folder.resolve()), str(Path.cwd())} if path not in sys.path)


def _imports(file: Path, roots: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    """The names of the modules that a file may import, each with the folder that it is relative to."""
    try:
        code = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # running the file raises a clear error
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from ((root, part.name) for part in node.names for root in roots)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{part.name}" if node.module else part.name for part in node.names]
            folders = (file.parents[node.level - 1],) if 0 < node.level <= len(file.parents) else roots
            yield from ((folder, name) for name in names for folder in folders)


def _modules(folder: Path, name: str) -> Iterator[Path]:
    """The existing files in ``folder`` that importing ``name`` would read, including those of its parent packages."""
    parent = folder
    for part in name.split("."):
        for file in (parent / f"{part}.py", parent / part / "__init__.py"):
            if file.is_file():
                yield file
        parent = parent / part


def function_in(
    path: Path, name: str, error_type: type[WeakspotError], missing_type: type[WeakspotError]
) -> Callable[..., Any]:
    """Runs a Python file and returns one of its functions.

    Args:
        path: of the file.
        name: of the function.
        error_type: the error to raise if the file raises one.
        missing_type: the error to raise if there is no such file, or no such function in it.
    """
    if not path.is_file():
        raise missing_type(f"no file {path}", expected="a Python file, as in path.py:function", todo="check the path")
    try:
        with importable(path.parent):
            module = _module(path)
    except Exception as error:
        raise error_type(
            f"{path} raised {type(error).__name__} when it was run: {error}", todo="run the file by itself to see why"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        defined = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise missing_type(
            f"{path} has no function {name!r}; it has {', '.join(defined[:8]) or 'none'}",
            expected="the name of a function in that file",
            todo=f"write {path}:NAME with one of these names" if defined else "write the function",
        )
    return function


@contextmanager
def importable(folder: Path) -> Generator[None]:
    """Inside the block, modules in ``folder`` and in the current folder can be imported.

    Modules of the same names that were imported from other folders before are removed from ``sys.modules`` first.
    """
    _unload_shadowed(folder.resolve())
    before = list(sys.path)
    sys.path[:0] = [str(folder.resolve()), str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before


def _unload_shadowed(folder: Path) -> None:
    """Removes modules from ``sys.modules`` that have the name of a module in ``folder`` but come from other folders.

    Code that has imported them keeps using them.  Modules of the standard library and of installed packages are kept.
    """
    names = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}
    for name in names - sys.stdlib_module_names:
        origin = Path(getattr(sys.modules.get(name), "__file__", None) or folder / name).resolve()
        if folder not in origin.parents and not INSTALLED & set(origin.parts):
            for loaded in [other for other in sys.modules if other == name or other.startswith(f"{name}.")]:
                del sys.modules[loaded]


def _module(path: Path) -> ModuleType:
    name = f"weakspot_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints in the file are resolved through sys.modules
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module

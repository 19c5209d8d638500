"""Installs tiny third-party packages with entry points, as pip would leave them."""

import sys

from weakspot.system.registry import Registry


def write_metadata(folder, name, entry_points):
    """Writes the metadata of the package ``name``, version 1.0.

    Args:
        folder: the folder that the package's modules are in.
        name: the name of the package.
        entry_points: group to name to ``module:attribute``.
    """
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in points.items()), "")
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def install(folder, monkeypatch, registry, entry_points, source, module="their_package"):
    """Writes ``source`` as a module with ``entry_points`` in the group of ``registry``; returns a registry with them.

    The registries of weakspot look for entry points once, so tests replace ``registry`` by the returned one.
    """
    (folder / f"{module}.py").write_text(source)
    points = {name: f"{module}:{attribute}" for name, attribute in entry_points.items()}
    write_metadata(folder, module, {registry.group: points})
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)
    return Registry(registry.group, registry.builtin)

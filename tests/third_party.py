"""Makes a tiny package of somebody else's, with entry points, importable for one test."""

import sys

from weakspot.system.registry import Registry


def install(folder, monkeypatch, registry, entry_points, source, module="their_package"):
    """Writes ``source`` as a module with ``entry_points`` in the group of ``registry``; returns a registry that sees it.

    The registries of the package look for entry points once, so tests put the returned one in the place of ``registry``.
    """
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{registry.group}]", *lines, ""]))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)
    return Registry(registry.group, registry.builtin)

"""The reference of the Python API: every public name, from its docstring."""

from __future__ import annotations

from pathlib import Path

import weakspot

PROTOCOLS = {
    "agents of your own": "weakspot.agents.base",
    "environments of your own": "weakspot.envs.base",
    "agent formats": "weakspot.agents.formats.registry.AgentFormat",
    "environment families": "weakspot.envs.family.EnvironmentFamily",
    "editors": "weakspot.envs.editors.Editor",
    "methods": "weakspot.search.method",
    "recipes": "weakspot.state_model.recipes.Recipe",
}
"""What extensions satisfy."""


def api_page(root: Path) -> str:
    """The public names of ``weakspot``, and the protocols of extensions."""
    parts = [
        "# Python API",
        "`import weakspot as ws` is fast: every name is imported when it is first used. All modules are public; these are "
        "the names that most programs need.",
    ]
    parts.extend(f"::: {_path(name)}" for name in weakspot.__all__)
    parts.append("## Protocols\n\nWhat agents, environments and [extensions](extensions.md) have to satisfy.")
    for title, path in PROTOCOLS.items():
        parts.append(f"### {title[0].upper() + title[1:]}\n\n::: {path}\n    options:\n      heading_level: 4")
    return "\n\n".join(parts) + "\n"


def _path(name: str) -> str:
    thing = getattr(weakspot, name)
    return f"{thing.__module__}.{thing.__qualname__}"

"""The reference of the entry points, from the registries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.site.markdown import cell, code, table
from weakspot.agents.formats.registry import FORMATS
from weakspot.envs.editors import EDITORS
from weakspot.envs.family import FAMILIES
from weakspot.search.registry import METHODS
from weakspot.state_model.recipe_names import REGISTRY as RECIPES
from weakspot.system.registry import Registry
from weakspot.targets.names import TARGETS

REGISTRIES: tuple[tuple[Registry[Any], str, str, str], ...] = (
    (FORMATS, "a way to recognise and load agents", "weakspot.agents.formats.registry.AgentFormat", "an agent format"),
    (FAMILIES, "a family of environments", "weakspot.envs.family.EnvironmentFamily", "an environment family"),
    (EDITORS, "changes variables in the state of an environment", "weakspot.envs.editors.Editor", "an editor"),
    (RECIPES, "a recipe for state models", "weakspot.state_model.recipes.Recipe", "a recipe"),
    (METHODS, "a method that finds states for a target", "weakspot.search.method.Method", "a method"),
    (TARGETS, "a target: a function from outputs to energies", "", "a target"),
)
"""Registry, what an extension is, the protocol, and the section of the page for contributors."""

INTRO = """\
Packages add to weakspot through entry points, without a change of weakspot. An extension is imported when it is first
used; one of another package cannot replace one that ships. `weakspot doctor` lists the installed ones, and says which
cannot be imported."""


def extensions_page(root: Path) -> str:
    """All groups of entry points, with what ships."""
    rows = (
        (
            code(registry.group),
            cell(what),
            f"[`{protocol.rpartition('.')[2]}`](api.md#{protocol})" if protocol else "`AgentOutput` to a tensor",
            ", ".join(map(code, registry.builtin)) or "see [targets](../targets.md)",
            f"[{section}](../contributing.md#{section.replace(' ', '-')})",
        )
        for registry, what, protocol, section in REGISTRIES
    )
    return (
        "\n\n".join(
            [
                "# Extensions",
                INTRO,
                table(("group", "an entry point is", "it satisfies", "ships with", "how to write one"), rows),
                "In the `pyproject.toml` of a package:",
                '```toml\n[project.entry-points."weakspot.targets"]\nunsure = "their_package.targets:unsure"\n```',
            ]
        )
        + "\n"
    )

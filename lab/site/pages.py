"""Gathers the pages of the site: everything in docs, and the pages at the root of the repository.

In the repository, links are relative to files, as a reader of the repository follows them. In the site, a link that leaves
docs leads to a copy of the file it names.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Pages at the root of the repository, and where they are in the site."""
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
IMAGE = re.compile(r'((?:src|srcset|href)=")([^"]+)(")')
FENCE = re.compile(r"^\s*(```|~~~)")


def gather(root: Path, site: Path) -> None:
    """Copies all pages, and what they link to, into ``site``.

    Args:
        root: the repository.
        site: an empty folder.
    """
    shutil.copytree(root / "docs", site, ignore=shutil.ignore_patterns("__pycache__"))
    for name, page in ROOT_PAGES.items():
        (site / page).write_text((root / name).read_text())
    (site / "decisions" / "index.md").write_text(decisions(root / "docs" / "decisions"))
    origins = {page: root / name for name, page in ROOT_PAGES.items()}
    for path in sorted(site.rglob("*.md")):
        place = path.relative_to(site)
        if str(place) != "decisions/index.md":
            origin = origins.get(str(place), root / "docs" / place)
            path.write_text(with_links(path.read_text(), origin, place, root, site))


def decisions(folder: Path) -> str:
    """The list of all decision records, newest first."""
    lines = [
        "# Decisions",
        "",
        "Each record states the context, the alternatives with their numbers, and what was decided.",
        "",
    ]
    for path in sorted(folder.glob("[0-9]*.md"), reverse=True):
        title = path.read_text().splitlines()[0].lstrip("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def with_links(text: str, origin: Path, place: Path, root: Path, site: Path) -> str:
    """The text of a page with its links changed to those of the site; code blocks stay as they are.

    Args:
        text: of the page.
        origin: the file in the repository.
        place: of the page in the site.
        root: the repository.
        site: the folder of the site, into which linked files are copied.
    """

    def new_target(target: str) -> str | None:
        if re.match(r"[a-z]+:|#|//", target):
            return target
        name, _, anchor = target.partition("#")
        linked = (origin.parent / name).resolve()
        found = in_site(linked, root, site)
        if found is None:
            return None
        relative = os.path.relpath(found, place.parent)
        return f"{relative}#{anchor}" if anchor else relative

    def change(match: re.Match[str]) -> str:
        target = new_target(match[1])
        return match[0] if target is None else f"]({target})"

    def change_attribute(match: re.Match[str]) -> str:
        target = new_target(match[2])
        return match[0] if target is None else f"{match[1]}{target}{match[3]}"

    lines, fenced = [], False
    for line in text.split("\n"):
        if FENCE.match(line):
            fenced = not fenced
        lines.append(line if fenced else IMAGE.sub(change_attribute, LINK.sub(change, line)))
    return "\n".join(lines)


def in_site(linked: Path, root: Path, site: Path) -> Path | None:
    """Where a file of the repository is in the site; None if it does not exist, which the build reports."""
    if not linked.exists() or not linked.is_relative_to(root):
        return None
    inside = linked.relative_to(root)
    if str(inside) in ROOT_PAGES:
        return Path(ROOT_PAGES[str(inside)])
    if inside.parts[:1] == ("docs",):
        place = Path(*inside.parts[1:])
        return place / "index.md" if linked.is_dir() and (site / place / "index.md").exists() else place
    if linked.is_dir():
        return None
    copy = Path("files") / inside.parent / (inside.name if inside.suffix else f"{inside.name}.txt")
    (site / copy).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(linked, site / copy)
    return copy

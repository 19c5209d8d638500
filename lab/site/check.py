"""Checks the built site: every link leads somewhere, and no page asks another server for anything."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src"}
"""Attributes that a browser loads by itself."""
LOADING_RELATIONS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "prefetch", "manifest"}
CSS_URL = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""")


class Page(HTMLParser):
    """Links, loaded files and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collects the attributes of a tag."""
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(value for name, value in values.items() if name in ("id", "name"))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in LOADED and values.get(LOADED[tag]):
            self.loaded.append(values[LOADED[tag]])
        if tag == "link" and LOADING_RELATIONS & set(values.get("rel", "").split()):
            self.loaded.append(values.get("href", ""))


def problems(site: Path) -> list[str]:
    """Broken links, and requests to other servers, one sentence each."""
    site = site.resolve()

    @cache
    def page_at(path: Path) -> Page:
        return Page(path.read_text())

    found: list[str] = []
    for path in sorted(site.rglob("*.html")):
        name, page = path.relative_to(site), page_at(path)
        for target in page.loaded:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https") or parts.netloc:
                found.append(f"{name}: loads {target}")
            elif parts.scheme != "data" and not _local(site, path, parts.path).is_file():
                found.append(f"{name}: loads {target}, which is not in the site")
        for target in page.links if name.name != "404.html" else ():
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            linked = _local(site, path, parts.path) if parts.path else path
            if not linked.is_file():
                found.append(f"{name}: links to {target}, which is not in the site")
            elif parts.fragment and linked.suffix == ".html" and unquote(parts.fragment) not in page_at(linked).anchors:
                found.append(f"{name}: links to {target}, but there is no such anchor")
    for path in sorted(site.rglob("*.css")):
        found.extend(f"{path.relative_to(site)}: loads {url}" for url in CSS_URL.findall(path.read_text()))
    return found


def _local(site: Path, page: Path, target: str) -> Path:
    """The file that a path in a page names."""
    target = unquote(target)
    path = site / target.lstrip("/") if target.startswith("/") else page.parent / target
    return path / "index.html" if path.is_dir() else path

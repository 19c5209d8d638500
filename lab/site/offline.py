"""Makes the built site independent of other servers: it can be opened from a disk, and asks nobody for anything."""

from __future__ import annotations

import os
import re
from pathlib import Path

SHIM = re.compile(r"https://unpkg\.com/iframe-worker/shim")
"""With it, the search works in pages that were opened from a disk, where browsers start no workers."""
COPY = Path("assets") / "iframe-worker.js"
"""A copy of the package iframe-worker 1.0.4 (MIT; its licence is next to it)."""


def keep_local(site: Path) -> None:
    """Replaces the script that the theme takes from another server by the copy in the site."""
    for page in site.rglob("*.html"):
        text = page.read_text()
        local = SHIM.sub(os.path.relpath(site / COPY, page.parent), text)
        if local != text:
            page.write_text(local)

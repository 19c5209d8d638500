"""Builds the site into build/site, and checks it.

python -m lab.site
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from lab.site.check import problems
from lab.site.offline import keep_local
from lab.site.pages import gather
from lab.site.reference import PAGES

ROOT = Path(__file__).parent.parent.parent
SOURCE, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"


def main() -> int:
    """Builds and checks the site. Returns the exit status."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    gather(ROOT, SOURCE)
    for name, page in PAGES.items():
        path = SOURCE / "reference" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(ROOT))
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "--clean"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        print("the site was not built; the pages are in build/pages", file=sys.stderr)
        return 1
    keep_local(SITE)
    found = problems(SITE)
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{len(list(SITE.rglob('*.html')))} pages in {SITE}, {len(found)} problems")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

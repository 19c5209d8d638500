"""The Python code on pages of the documentation, so that tests can run what the reader sees."""

from __future__ import annotations

from pathlib import Path

FRAMEWORKS = Path(__file__).parents[1] / "docs" / "frameworks"


def blocks(page: str) -> list[str]:
    """The blocks of Python on a page about a framework, from the top."""
    return [block.split("```")[0] for block in (FRAMEWORKS / f"{page}.md").read_text().split("```python\n")[1:]]

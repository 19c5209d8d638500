"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells must be :func:`cell` or plain words."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def cell(text: str) -> str:
    """Text of a docstring as the content of a cell; bars between backticks do not end a cell."""
    parts = re.split(r"(`[^`]*`)", prose(text))
    return "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)


def prose(text: str) -> str:
    """Text of a docstring as Markdown: roles of Sphinx become code, double backticks single ones."""
    text = re.sub(r":(?:class|func|mod|data|meth|attr|exc):`~?([^`]+)`", r"`\1`", " ".join(text.split()))
    parts = re.split(r"(`[^`]*`)", text.replace("``", "`"))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", part) for part in parts)


def code(text: str) -> str:
    """Text as code in a cell."""
    return f"`{text}`" if text else ""

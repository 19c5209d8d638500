"""Lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def listed(words: Sequence[str], last: str) -> str:
    """Words with commas between them and ``last`` before the last one, such as ``UP, DOWN or LEFT``; at least one word."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

"""temporary"""

from pathlib import Path

from weakspot.agents import zoo
from weakspot.system.user_code import parse_reference


def files_of(reference: str, *, trust: bool = False) -> list[Path] | None:
    """temporary"""
    if parse_reference(reference):
        return None
    if reference in zoo.names():
        return [zoo.path(reference)]
    p = Path(reference)
    return [p] if p.is_file() else None

"""An object whose unpickling leaves a trace."""

from __future__ import annotations

from pathlib import Path


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))

"""What sings when it is unpickled."""

from __future__ import annotations

from pathlib import Path


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))

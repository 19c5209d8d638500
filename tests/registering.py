"""Environments that gymnasium knows for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium


@contextmanager
def known(**kinds: type[gymnasium.Env]) -> Iterator[None]:
    """Registers each kind as version 0 of its name."""
    for name, kind in kinds.items():
        gymnasium.register(f"{name}-v0", kind)
    try:
        yield
    finally:
        for name in kinds:
            gymnasium.registry.pop(f"{name}-v0")

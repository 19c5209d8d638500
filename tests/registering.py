"""Temporary registrations of environments with gymnasium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium


@contextmanager
def temporarily_registered(**classes: type[gymnasium.Env]) -> Iterator[None]:
    """Registers each class as version 0 of its name."""
    for name, env_class in classes.items():
        gymnasium.register(f"{name}-v0", env_class)
    try:
        yield
    finally:
        for name in classes:
            gymnasium.registry.pop(f"{name}-v0")

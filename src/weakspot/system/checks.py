"""Validation of seeds and of settings."""

from __future__ import annotations

import math
from typing import Any

from weakspot.errors import ConfigError

END = 2**40
"""Upper bound (exclusive) of seeds: generators are seeded with multiples of a seed, which must fit into 64 bits."""


def check_seed(seed: int) -> None:
    """Raises :class:`ConfigError` if ``seed`` is negative or not below :data:`END`."""
    if not 0 <= seed < END:
        raise ConfigError(f"seed is {seed}", expected="a whole number from 0 to below 2^40")


def check_positive(config: Any, *names: str) -> None:
    """Raises :class:`ConfigError` if one of these settings of ``config`` is not a finite number above 0."""
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise ConfigError(f"{name} is {getattr(config, name)}", expected="a positive number")


def check_not_negative(config: Any, *names: str) -> None:
    """Raises :class:`ConfigError` if one of these settings of ``config`` is not a finite number, at least 0."""
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise ConfigError(f"{name} is {getattr(config, name)}", expected="a number, at least 0")

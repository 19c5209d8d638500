"""Validation of seeds."""

from __future__ import annotations

from weakspot.errors import ConfigError

END = 2**40
"""Upper bound (exclusive) of seeds: generators are seeded with multiples of a seed, which must fit into 64 bits."""


def check_seed(seed: int) -> None:
    """Raises :class:`ConfigError` if ``seed`` is negative or not below :data:`END`."""
    if not 0 <= seed < END:
        raise ConfigError(f"seed is {seed}", expected="a whole number from 0 to below 2^40")

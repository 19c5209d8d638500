"""How large a seed may be."""

from __future__ import annotations

from weakspot.errors import ConfigError

END = 2**40
"""Seeds are below: generators are seeded by multiples of them, which have to fit into 64 bits."""


def check_seed(seed: int) -> None:
    """Refuses (:class:`ConfigError`) what is no seed."""
    if not 0 <= seed < END:
        raise ConfigError(f"seed is {seed}", expected="a whole number from 0 up, below 2^40")

"""Seeds of rollouts: a new one for each, all from one."""

from __future__ import annotations

import numpy as np


class Seeds:
    """A sequence of seeds.

    Args:
        seed: of the sequence.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def next(self) -> int:
        """A seed that was not given out before, but by chance."""
        return int(self._generator.integers(2**31))

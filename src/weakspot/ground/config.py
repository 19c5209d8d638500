"""Settings of the ground stage.  Imports neither torch nor numpy."""

from __future__ import annotations

import os
from dataclasses import dataclass

from weakspot.errors import ConfigError
from weakspot.system.checks import check_not_negative, check_positive, check_seed


@dataclass(frozen=True)
class GroundConfig:
    """Settings of the search for twins.

    Attributes:
        states: Synthesised states, at most, that twins are searched for, for each target; 0 searches for none.
        trials: Sets of changed variables that are tried for each of them.
        steps: Decisions that are played to reach each of them.
        value: Weight of the target's shortfall, in standard deviations over real states, beside the distances.
        usual: Share of real states that have to be less usual than a twin, from 0 to 1; 1 accepts all that are possible.
        workers: Processes; 0 uses two, or one on a single core.
        seed: Seed of all searches.

    Raises:
        ConfigError: a value is out of range.
    """

    states: int = 8
    trials: int = 800
    steps: int = 200
    value: float = 0.3
    usual: float = 1.0
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "trials", "steps")
        check_not_negative(self, "states", "value", "workers")
        if not 0 <= self.usual <= 1:
            raise ConfigError(f"usual is {self.usual}", expected="a share from 0 to 1")
        check_seed(self.seed)

    @property
    def processes(self) -> int:
        """The number of processes on this machine."""
        return self.workers or min(2, len(os.sched_getaffinity(0)))

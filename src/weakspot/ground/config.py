"""Settings of the search for twins.  Imports neither torch nor numpy."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.errors import ConfigError
from weakspot.system.checks import check_not_negative, check_positive, check_seed


@dataclass(frozen=True)
class GroundConfig:
    """Settings of the search for twins.

    Attributes:
        states: Synthesised states of each target that get a twin, the first ones; 0 leaves the stage out.
        trials: Sets of changed variables and of actions after them that are tried for each state.
        steps: Decisions that are played to reach each state.
        value: Weight of the target's shortfall, in standard deviations over real states, beside the distances.
        usual: Largest share of held-out real states that may be more usual than a twin; 1 accepts every possible state.
        seed: Seed of all searches.

    Raises:
        ConfigError: a value is out of range.
    """

    states: int = 8
    trials: int = 800
    steps: int = 400
    value: float = 0.3
    usual: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "trials", "steps")
        check_not_negative(self, "states", "value")
        if not 0 <= self.usual <= 1:
            raise ConfigError(f"usual is {self.usual}", expected="a share from 0 to 1")
        check_seed(self.seed)

"""Settings of Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weakspot.errors import ConfigError
from weakspot.system.checks import check_seed


@dataclass(frozen=True)
class SynthesisConfig:
    """Settings of Algorithm 1."""

    states: int = 24
    """n, states synthesised for each target."""
    searches: int = 3
    """m, searches for each of them, of all of which the best are kept."""
    steps: int = 60
    """Largest number of steps of a search."""
    learning_rate: float = 0.05
    """lambda, Adam's step size."""
    regulariser: float = 0.003
    """alpha, the weight of the KL."""
    start: Literal["samples", "data", "prior"] = "samples"
    """samples: at those of ``candidates`` random samples of the state model that the target ranks best, of the share
    ``kept`` that the bottleneck gives back best.  data: at the best of as many real states.  prior: x_mu = 0, x_sigma = 1,
    as in the paper."""
    candidates: int = 4096
    """Samples, or real states, of which the searches begin at the best."""
    kept: float = 0.5
    """Share of the samples that searches may begin at."""
    enough: Literal["best", "never"] = "best"
    """best: a state gains nothing by a target below the best real state's.  never: the paper's descent without end."""
    softness: float = 0.1
    """w, how softly that sets in, in standard deviations of the target over real states."""
    start_sigma: float = 0.1
    """x_sigma at the start, but for ``prior``."""
    patience: int = 40
    """A state stops when its energy, averaged over this many steps, has not fallen by ``tolerance`` from the average
    over as many steps before: in searches of more than twice as many steps."""
    tolerance: float = 0.01
    """In units of the energy, that is of the target's standard deviation over real states."""
    seed: int = 0

    def __post_init__(self) -> None:
        positive = (
            "states", "searches", "steps", "learning_rate", "patience", "candidates", "kept", "softness", "start_sigma",
        )  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:  # nor where it is NaN
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="a positive number")
        if not self.regulariser >= 0:
            raise ConfigError(f"regulariser is {self.regulariser}", expected="0 or more")
        check_seed(self.seed)

    @property
    def begun(self) -> int:
        """m n, searches for each target."""
        return self.searches * self.states

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
    """m, searches per state; the best n of the m n searches are kept."""
    steps: int = 60
    """Maximum number of steps of a search."""
    learning_rate: float = 0.05
    """lambda, Adam's step size."""
    regulariser: float = 0.003
    """alpha, the weight of the KL."""
    start: Literal["samples", "data", "prior"] = "samples"
    """Where searches start.  samples: at those of ``candidates`` random samples of the state model that the target ranks
    best, after the share ``kept`` with the smallest reconstruction error was selected.  data: at the best of ``candidates``
    real states.  prior: x_mu = 0, x_sigma = 1, as in the paper."""
    candidates: int = 4096
    """Random samples, or real states, among which the starts are chosen."""
    kept: float = 0.5
    """Share of the samples, by reconstruction error, at which searches may start."""
    enough: Literal["best", "never"] = "best"
    """When the target is low enough.  best: at the value of the best real state, the energy stops rewarding a decrease.
    never: it rewards any decrease, as in the paper."""
    softness: float = 0.1
    """w, how gradually that sets in, in standard deviations of the target over real states."""
    start_sigma: float = 0.1
    """x_sigma at the start; with ``prior`` it is 1."""
    patience: int = 40
    """A search stops when its energy, averaged over this many steps, is less than ``tolerance`` below the average over as
    many steps before; never in its first 2 x ``patience`` steps."""
    tolerance: float = 0.01
    """Smallest decrease of the energy that counts as progress, in standard deviations of the target over real states."""
    seed: int = 0
    """Of the random numbers of all searches."""

    def __post_init__(self) -> None:
        positive = (
            "states", "searches", "steps", "learning_rate", "patience", "candidates", "kept", "softness", "start_sigma",
        )  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:  # NaN is refused as well
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="a positive number")
        if not self.regulariser >= 0:
            raise ConfigError(f"regulariser is {self.regulariser}", expected="0 or more")
        check_seed(self.seed)

    @property
    def total_searches(self) -> int:
        """m n, the number of searches for each target."""
        return self.searches * self.states

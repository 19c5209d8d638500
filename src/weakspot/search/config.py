"""Settings of Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weakspot.errors import ConfigError
from weakspot.system.checks import check_seed


@dataclass(frozen=True)
class SynthesisConfig:
    """Settings of Algorithm 1.

    Attributes:
        states: n, the number of states synthesised for each target.
        searches: m, the number of searches per state; the best n of the m n searches are kept.
        steps: Maximum number of steps of a search.
        learning_rate: lambda, the step size of Adam.
        regulariser: alpha, the weight of the KL divergence.
        start: Where searches start. samples: at the random samples of the state model with the lowest target, after samples
            with a large reconstruction error were dropped. data: at the real states with the lowest target. prior: at
            x_mu = 0, x_sigma = 1, as in the paper.
        candidates: Number of random samples, or of real states, among which the starts are chosen.
        kept: Share of the samples, those with the smallest reconstruction error, at which searches may start.
        enough: When the target is low enough. best: at its value in the best real state, below which the energy does not
            reward a decrease. never: any decrease is rewarded, as in the paper.
        softness: w, the width of the transition to no reward, in standard deviations of the target over real states.
        start_sigma: x_sigma at the start; 1 if searches start at the prior.
        patience: A search stops when its energy, averaged over this many steps, is less than the tolerance below the average
            over as many steps before. It never stops in its first 2 x patience steps.
        tolerance: Smallest decrease of the energy that counts as progress, in standard deviations of the target over real
            states.
        seed: Seed of the random numbers of all searches.

    Raises:
        ConfigError: a value is out of range.
    """

    states: int = 24
    searches: int = 3
    steps: int = 60
    learning_rate: float = 0.05
    regulariser: float = 0.003
    start: Literal["samples", "data", "prior"] = "samples"
    candidates: int = 4096
    kept: float = 0.5
    enough: Literal["best", "never"] = "best"
    softness: float = 0.1
    start_sigma: float = 0.1
    patience: int = 40
    tolerance: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        positive = (
            "states", "searches", "steps", "learning_rate", "patience", "candidates", "kept", "softness", "start_sigma",
        )  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:  # also rejects NaN
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="a positive number")
        if not self.regulariser >= 0:
            raise ConfigError(f"regulariser is {self.regulariser}", expected="0 or more")
        check_seed(self.seed)

    @property
    def total_searches(self) -> int:
        """m n, the number of searches for each target."""
        return self.searches * self.states

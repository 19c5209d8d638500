"""Settings of Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from weakspot.errors import ConfigError
from weakspot.system.checks import check_not_negative, check_positive, check_seed

Optimizer: TypeAlias = Literal["adam", "gradient-descent"]
Start: TypeAlias = Literal["samples", "data", "random", "prior"]
Enough: TypeAlias = Literal["best", "never", "unscaled"]
Preset: TypeAlias = Literal["default", "paper"]

PAPER: dict[str, Any] = {
    "searches": 1,
    "steps": 2_000,
    "learning_rate": 0.5,
    "optimizer": "gradient-descent",
    "start": "prior",
    "enough": "unscaled",
    "patience": 50,
}
"""Algorithm 1 as the paper prints it.  The paper gives neither the step size nor the test of convergence, nor the number of
steps after which a search that does not converge ends."""


@dataclass(frozen=True)
class SynthesisConfig:
    """Settings of Algorithm 1.

    Attributes:
        preset: default, or paper: Algorithm 1 as printed, with gradient descent on x_mu and x_sigma from x_mu = 0 and
            x_sigma = 1 on the unscaled target, until it converges. Other settings that differ from their defaults replace
            those of the preset.
        states: n, the number of states synthesised for each target.
        searches: m, the number of searches per state; the best n of the m n searches are kept. Those behind after 20
            steps end there.
        ahead: Searches that go on after these steps, for each state that is kept; with as many as ``searches``, all do.
        steps: Maximum number of steps of a search.
        learning_rate: lambda, the step size.
        optimizer: adam: Adam on x_mu and log x_sigma. gradient-descent: on x_mu and x_sigma, as printed in the paper.
        regulariser: alpha, the weight of the KL divergence.
        start: Where searches start. samples: at the random samples of the state model with the lowest target, after samples
            with a large reconstruction error were dropped. data: at the real states with the lowest target. random: at
            x_mu ~ N(0, I). prior: at x_mu = 0, x_sigma = 1, as in the paper.
        candidates: Number of random samples, or of real states, among which the starts are chosen; a quarter of the time of
            a target.
        kept: Share of the samples, those with the smallest reconstruction error, at which searches may start.
        enough: When the target is low enough. best: at its value in the best real state, below which the energy does not
            reward a decrease. never: any decrease is rewarded, in units of the target's standard deviation over real states.
            unscaled: any decrease is rewarded, in the target's own units, as in the paper.
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

    preset: Preset = "default"
    states: int = 24
    searches: int = 3
    ahead: float = 1.5
    steps: int = 60
    learning_rate: float = 0.05
    optimizer: Optimizer = "adam"
    regulariser: float = 0.003
    start: Start = "samples"
    candidates: int = 4096
    kept: float = 0.5
    enough: Enough = "best"
    softness: float = 0.1
    start_sigma: float = 0.1
    patience: int = 40
    tolerance: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.preset == "paper":
            for field in fields(self):
                if field.name in PAPER and getattr(self, field.name) == field.default:
                    object.__setattr__(self, field.name, PAPER[field.name])
        check_positive(
            self, "states", "searches", "steps", "learning_rate", "patience", "candidates", "kept", "softness", "start_sigma"
        )
        if not self.ahead >= 1:
            raise ConfigError(f"ahead is {self.ahead}", expected="a number of at least 1: one search for each state")
        check_not_negative(self, "regulariser")
        check_seed(self.seed)

    @property
    def total_searches(self) -> int:
        """m n, the number of searches for each target."""
        return self.searches * self.states

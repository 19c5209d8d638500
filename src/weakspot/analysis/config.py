"""Settings of the stages that measure how far the state model can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.errors import ConfigError

MAX_SEED = 2**31
"""Upper bound (exclusive) of the seeds of episodes."""


@dataclass(frozen=True)
class GogglesConfig:
    """Settings of the goggles test."""

    episodes: int = 8
    """Number of episodes with goggles, and of episodes without; 0 skips the test."""
    epsilon: float = 0.01
    """Probability of a random action, with and without goggles; with 0, games of a greedy agent may repeat."""
    longest: int = 6_000
    """Maximum number of decisions in an episode; longer episodes are truncated and count with the score so far."""
    seed: int = 10_000
    """Seed of the first episode; the next episodes take the next seeds."""

    def __post_init__(self) -> None:
        if self.episodes < 0 or self.longest < 1:
            seen = f"{self.episodes} episodes of {self.longest} decisions"
            raise ConfigError(seen, expected="0 or more episodes of 1 or more decisions")
        if not (0 <= self.epsilon <= 1 and 0 <= self.seed < MAX_SEED - self.episodes):
            seen = f"a share of {self.epsilon} random actions, seed {self.seed}"
            raise ConfigError(seen, expected=f"a share from 0 to 1, and a seed from 0 to below {MAX_SEED:,}")


@dataclass(frozen=True)
class PolicyValuesConfig:
    """Settings of the action values of a policy with a critic, for the targets T-, T+, S+ and S-."""

    tau: float = 0.0
    """Temperature, in units of the critic's value; 0 fits it to the returns of recorded states."""
    gamma: float = 0.99
    """Discount of a decision in these returns."""

    def __post_init__(self) -> None:
        if not 0 <= self.tau < float("inf"):
            raise ConfigError(f"tau is {self.tau}", expected="a positive number, or 0 to fit it")
        if not 0 < self.gamma < 1:
            raise ConfigError(f"gamma is {self.gamma}", expected="a number between 0 and 1")


@dataclass(frozen=True)
class OverconfidenceConfig:
    """Settings of the target overconfidence."""

    horizon: int = 120
    """Decisions of the returns that what the agent expects is compared with."""
    gamma: float = 0.99
    """Discount of a decision in these returns."""

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise ConfigError(f"horizon is {self.horizon}", expected="one decision or more")
        if not 0 < self.gamma <= 1:
            raise ConfigError(f"gamma is {self.gamma}", expected="a number above 0, and at most 1")


@dataclass(frozen=True)
class FidelityConfig:
    """Settings of the measurement of reconstructions."""

    held_out: int = 500
    """Number of held-out states to reconstruct and measure."""
    reconstructions: int = 8
    """Number of real states, drawn at random, that the report shows with their reconstructions."""
    worst: int = 4
    """Number of further ones: those of the measured states in which the reconstruction changes the agent's outputs most."""

    def __post_init__(self) -> None:
        check_counts(self, "held_out", "reconstructions")
        if self.worst < 0:
            raise ConfigError(f"worst is {self.worst}", expected="a whole number, at least 0")


@dataclass(frozen=True)
class SamplesConfig:
    """Settings of the measurement of random samples."""

    shown: int = 12
    """Number of samples that the report shows."""

    def __post_init__(self) -> None:
        check_counts(self, "shown")


def check_counts(config: object, *names: str) -> None:
    """Raises :class:`ConfigError` if one of these fields is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} is {getattr(config, name)}", expected="1 or more")

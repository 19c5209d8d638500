"""Settings of the goggles test."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.errors import ConfigError

HIGHEST_SEED = 2**31
"""Seeds of games are below."""


@dataclass(frozen=True)
class GogglesConfig:
    """Settings of the goggles test."""

    episodes: int = 8
    """Episodes played with, and as many without."""
    epsilon: float = 0.01
    """Share of random actions, with goggles and without.  With none at all, a greedy agent plays the same few games of a
    deterministic emulator again and again, and their mean says little."""
    longest: int = 6_000
    """Decisions after which an episode is scored as it stands."""
    seed: int = 10_000

    def __post_init__(self) -> None:
        if self.episodes < 0 or self.longest < 1:
            raise ConfigError(f"{self.episodes} episodes of {self.longest} decisions", expected="0 or more of 1 or more")
        if not (0 <= self.epsilon <= 1 and 0 <= self.seed < HIGHEST_SEED - self.episodes):
            seen = f"a share of {self.epsilon} random actions, seed {self.seed}"
            raise ConfigError(seen, expected=f"a share from 0 to 1, and a seed from 0 up, below {HIGHEST_SEED:,}")


@dataclass(frozen=True)
class FidelityConfig:
    """How faithful reconstructions are."""

    held_out: int = 500
    """Held-out states that are reconstructed and measured."""
    reconstructions: int = 8
    """Real states shown beside their reconstructions."""

    def __post_init__(self) -> None:
        check_counts(self, "held_out", "reconstructions")


@dataclass(frozen=True)
class SamplesConfig:
    """Random samples of the state model."""

    shown: int = 12
    """Samples shown in the report."""

    def __post_init__(self) -> None:
        check_counts(self, "shown")


def check_counts(config: object, *names: str) -> None:
    """Raises :class:`ConfigError` if one of these fields is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} is {getattr(config, name)}", expected="1 or more")

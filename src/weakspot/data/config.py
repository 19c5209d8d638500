"""Settings of the collection.  Imports neither torch nor numpy."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.errors import ConfigError
from weakspot.system.checks import check_seed

HELD_OUT = 0.1
"""Fraction of the states that are held out from training."""


@dataclass(frozen=True)
class CollectConfig:
    """Settings of the collection of states.

    Attributes:
        frames: Number of states, rounded up to a multiple of the number of streams, among which they are divided.
        epsilon: Probability of a random action.
        streams: Number of environments played in parallel.
        seed: Seed of the environments, of exploration and of sampled actions.
        snapshot_every: Steps between two snapshots of an environment.
        shard_steps: Steps of each stream in one shard; a killed process loses at most one shard.

    Raises:
        ConfigError: a value is out of range.
    """

    frames: int = 20_000
    epsilon: float = 0.1
    streams: int = 10
    seed: int = 0
    snapshot_every: int = 100
    shard_steps: int = 100

    def __post_init__(self) -> None:
        for name in ("frames", "streams", "snapshot_every", "shard_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="a whole number, at least 1")
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"epsilon is {self.epsilon}", expected="a fraction from 0 to 1")
        check_seed(self.seed)

    @property
    def steps(self) -> int:
        """Steps of each stream."""
        return -(-self.frames // self.streams)

"""Settings of the collection."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.errors import ConfigError
from weakspot.system.checks import check_seed

HELD_OUT = 0.1
"""Share of the states that is never trained on."""


@dataclass(frozen=True)
class CollectConfig:
    """How states are collected.

    Attributes:
        frames: number of states, rounded up to the same number in every stream.
        epsilon: share of random actions.
        streams: environments played side by side.
        seed: of the environments, of exploration and of sampled actions.
        snapshot_every: decisions from one snapshot of an environment to its next.
        shard_steps: decisions of each stream in one shard; what a kill can cost at most.
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
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="a whole number from 1 up")
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"epsilon is {self.epsilon}", expected="a share from 0 to 1")
        check_seed(self.seed)

    @property
    def steps(self) -> int:
        """Decisions of each stream."""
        return -(-self.frames // self.streams)

"""Settings of the confirmation.  Imports neither torch nor numpy."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.errors import ConfigError
from weakspot.system.checks import check_not_negative, check_positive, check_seed


@dataclass(frozen=True)
class ConfirmConfig:
    """Settings of the confirmation.

    Attributes:
        controls: Recorded states, drawn at random, that rollouts start from as well; 0 leaves the stage out.
        rollouts: k, rollouts from each state that counts for a result.
        first: Rollouts from each state that decide whether it is looked at closely.
        horizon: h, decisions of a rollout; fewer if the agent often loses from random states.
        holds: Numbers of decisions for which an action is held in place of the agent's own.
        what_ifs: Rollouts, at most, from recorded states without a loss in which one thing is changed, 240 say.
        losing: Losing states, at most, for which rescues are looked for; up to 12 with one thing changed come on top.
        probes: Losing states, at most, for which every variable is changed alone to find causes.
        epsilon: Probability of a random action, for agents that act greedily.
        gamma: Discount of a decision, when returns are compared with what the agent expected.
        outcome: path.py:function that maps a rollout to a number, the higher the better; by default a rollout is judged by
            lost lives, ends of episodes and penalties, or else by its return.
        reference: Another agent of the same environment, whose play is tried as a rescue.
        seed: Seed of all rollouts.

    Raises:
        ConfigError: a value is out of range.
    """

    controls: int = 80
    rollouts: int = 8
    first: int = 4
    horizon: int = 120
    holds: tuple[int, ...] = (8, 25)
    what_ifs: int = 0
    losing: int = 24
    probes: int = 3
    epsilon: float = 0.01
    gamma: float = 0.99
    outcome: str | None = None
    reference: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "rollouts", "first", "horizon", "losing")
        check_not_negative(self, "controls", "what_ifs", "probes")
        if not self.holds or min(self.holds) < 1 or max(self.holds) >= self.horizon:
            raise ConfigError(
                f"holds is {self.holds} with a horizon of {self.horizon}",
                expected="whole numbers of decisions from 1 to below the horizon",
                todo="choose shorter holds or a longer --confirm.horizon",
            )
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"epsilon is {self.epsilon}", expected="a probability from 0 to 1")
        if not 0 < self.gamma < 1:
            raise ConfigError(f"gamma is {self.gamma}", expected="a number between 0 and 1")
        check_seed(self.seed)

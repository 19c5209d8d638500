"""What a loss is in an environment, told from recorded play."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weakspot.confirm.rollouts import Rollout
from weakspot.data.dataset import StateDataset
from weakspot.errors import ConfigError

RARE = 0.015
"""Share of decisions, at most, with a negative reward, if these are penalties; of more, rollouts from anywhere have some."""
LARGE = 0.5
"""Size of penalties, at least, over the size of the largest reward."""
LATE, AT_ONCE, ENDS = 500, 0.02, 3
"""An end by the clock: the decision from which on it may be one, by how much its time varies, as a share of it, and the
number of ends from which it can be told.  Earlier ends at the same time may be one and the same play."""
LOW = 0.1
"""Share of control rollouts with an outcome below the threshold, in environments without lives, ends and penalties."""


@dataclass(frozen=True)
class LossRule:
    """When a rollout is a loss.

    Attributes:
        lives: a lost life is one.
        ends: the end of the episode is one, unless it brings more than the usual reward.
        usual: mean reward of a decision.
        penalty: a reward at or below it is one; None if there are no penalties.
        measure: the outcome of a rollout, the higher the better, if a low one is a loss; None if losses are events.
        threshold: an outcome below it is a loss.
        given: whether the measure is the user's.
        phrase: what the agent does when it loses, such as ``loses a life``.
    """

    lives: bool = False
    ends: bool = False
    usual: float = 0.0
    penalty: float | None = None
    measure: Callable[[Rollout], float] | None = None
    threshold: float = -np.inf
    given: bool = False
    phrase: str = ""

    def is_loss(self, reward: float, life_lost: bool, terminated: bool) -> bool:
        """Whether a decision is a loss."""
        return bool(
            (self.lives and life_lost)
            or (self.ends and terminated and reward <= self.usual)
            or (self.penalty is not None and reward <= self.penalty)
        )

    def judged(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The rollouts, with losses by outcome marked at their ends.

        Raises:
            ConfigError: the user's function fails or does not return a finite number.
        """
        if self.measure is None:
            return list(rollouts)
        return [
            replace(rollout, loss=len(rollout.actions) if value < self.threshold else None)
            for rollout, value in zip(rollouts, outcomes(self.measure, rollouts), strict=True)
        ]

    def calibrated(self, controls: Sequence[Rollout]) -> LossRule:
        """The rule with its threshold measured on rollouts from control states.

        If all have the same return, nothing is a loss; the user's outcome has to vary.

        Raises:
            ConfigError: all have the same outcome of the user's.
        """
        if self.measure is None:
            return self
        values = outcomes(self.measure, controls)
        if len(values) < 2 or values.min() == values.max():
            if not self.given:
                return self
            raise ConfigError(
                f"all {len(values)} rollouts from recorded states have the outcome {values[0] if len(values) else '-'}",
                expected="outcomes that differ",
                todo="choose another --confirm.outcome, or a longer --confirm.horizon",
            )
        lowest = float(np.quantile(values, LOW))
        if lowest == values.min():  # a tenth or more are equally low: they are the losses
            lowest = float(values[values > lowest].min())
        return replace(self, threshold=lowest)


def outcomes(measure: Callable[[Rollout], float], rollouts: Sequence[Rollout]) -> np.ndarray:
    """The outcome of each rollout (n,).

    Raises:
        ConfigError: the function raises an error, or does not return a finite number.
    """
    values: list[float] = []
    for rollout in rollouts:
        try:
            value = float(measure(rollout))
        except Exception as error:
            raise ConfigError(
                f"the outcome function raised {type(error).__name__}: {error}", expected="a number for every rollout"
            ) from error
        if not np.isfinite(value):
            raise ConfigError(f"the outcome function returned {value}", expected="a finite number for every rollout")
        values.append(value)
    return np.array(values)


def rule_for(dataset: StateDataset, outcome: Callable[[Rollout], float] | None) -> LossRule:
    """What a loss is, from recorded play: lost lives and bad ends; or penalties; or else low returns.

    Where at least half of the ends come at the same time, late in an episode, as those of boxing do, ends are no losses.

    Args:
        dataset: recorded play.
        outcome: the user's function, which replaces the rule.
    """
    if outcome is not None:
        return LossRule(measure=outcome, given=True, phrase="does badly by the given outcome")
    reward = dataset.reward.astype(np.float64)
    usual, largest = float(reward.mean()), float(np.abs(reward).max())
    bad = dataset.terminated & (reward <= usual)
    bad_ends = bool(bad.any()) and not _by_the_clock(dataset.age[bad])
    if dataset.life_lost.any():
        return LossRule(lives=True, ends=bad_ends, usual=usual, phrase="loses a life")
    penalties = reward <= -LARGE * largest if largest > 0 else np.zeros(len(reward), bool)
    if 0 < penalties.mean() <= RARE:
        phrase = "loses points" if not bad_ends or (penalties & ~dataset.terminated).any() else "ends the episode"
        return LossRule(ends=bad_ends, usual=usual, penalty=-LARGE * largest, phrase=phrase)
    if bad_ends:
        return LossRule(ends=True, usual=usual, phrase="ends the episode")
    return LossRule(measure=_earned, phrase="earns little")


def _by_the_clock(times: np.ndarray) -> bool:
    """Whether at least half of the ends at ``times`` (n,) come with the latest one, and it is late."""
    last = int(times.max())
    return last >= LATE and len(times) >= ENDS and bool((times >= (1.0 - AT_ONCE) * last).mean() >= 0.5)


def _earned(rollout: Rollout) -> float:
    """The mean reward of a decision: the end of a game leaves less time to earn, which is no weakness."""
    return rollout.total / max(len(rollout.actions), 1)

"""Rescues: what could be done in place of the agent's own actions so that a loss does not come.

For some decisions an action is held, or the agent plays without one of its usual actions, or short random sequences are
taken, or another agent plays; then the agent under test plays on, for longer than the loss may take: a loss that only comes
later is not avoided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.confirm.context import Context
from weakspot.confirm.overrides import Override, job_of
from weakspot.confirm.rollouts import Rollout
from weakspot.confirm.starts import Start

SAVES = 0.5
"""Share of rollouts without a loss, at least, with a rescue of a state."""
BEST, AGAIN = 3, 4
"""Overrides of each state that are tried again after a first rollout, and their rollouts."""


@dataclass(frozen=True)
class Tried:
    """What the overrides did to one losing state.

    Attributes:
        first: whether a single rollout with each override had no loss (o,).
        saved: share of later rollouts with the best overrides that had no loss; 0 for the others (o,).
    """

    first: np.ndarray
    saved: np.ndarray

    @property
    def can_be_saved(self) -> bool:
        """Whether an override avoids at least half of the losses."""
        return bool(self.saved.max(initial=0.0) >= SAVES)


def try_overrides(context: Context, starts: Sequence[Start], options: Sequence[Override]) -> list[Tried]:
    """Tries all overrides once from every state, and the best of each state some more times."""
    horizon, seeds, report = context.longer, context.seeds, "rescues"
    rollouts = context.until_loss(
        [job_of(start, option, seeds.next(), horizon) for start in starts for option in options], report
    )
    by_state = [rollouts[i : i + len(options)] for i in range(0, len(rollouts), len(options))]
    best = [_best(tried, options) for tried in by_state]
    again = [
        job_of(start, options[o], seeds.next(), horizon)
        for start, chosen in zip(starts, best, strict=True)
        for o in chosen
        for _ in range(AGAIN)
    ]
    later = iter(context.until_loss(again, report))
    found: list[Tried] = []
    for tried, chosen in zip(by_state, best, strict=True):
        saved = np.zeros(len(options))
        for o in chosen:
            saved[o] = np.mean([not next(later).lost for _ in range(AGAIN)])
        found.append(Tried(np.array([not rollout.lost for rollout in tried]), saved))
    return found


def _best(tried: Sequence[Rollout], options: Sequence[Override]) -> list[int]:
    """The overrides of one state that are tried again: those without a loss, with the latest loss, with the best return."""

    def rank(o: int) -> tuple[bool, int, float]:
        rollout = tried[o]
        time = len(rollout.actions) if rollout.loss is None else rollout.loss - options[o].decisions
        return rollout.lost, -time, -rollout.total

    return sorted(range(len(options)), key=rank)[:BEST]


def best_for_group(tried: Sequence[Tried]) -> list[int]:
    """The overrides that save most states of a group, best first, at most :data:`BEST`."""
    votes = np.sum([np.maximum(one.first * 0.5, one.saved) + 0.1 * one.first for one in tried], axis=0)
    return [int(o) for o in np.argsort(-votes, kind="stable")[:BEST]]

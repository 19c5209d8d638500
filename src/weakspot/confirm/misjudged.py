"""Twins from which the agent does not lose: whether it expects too little or too much there, and takes needless actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from weakspot.artifacts.weaknesses import Rate, Rescue
from weakspot.confirm import verdicts
from weakspot.confirm.context import ByState, Context
from weakspot.confirm.groups import distances, typical_first
from weakspot.confirm.overrides import Override
from weakspot.confirm.records import Judged
from weakspot.confirm.starts import Start, views_of
from weakspot.confirm.statistics import fisher, rate_of

LEAST = 3
"""States of one target, at least, that are judged together."""


def misjudged(context: Context, by_target: Mapping[str, Sequence[Start]], controls: Rate, spread: float) -> list[Judged]:
    """Verdicts on the twins of each target from which the agent does not mostly lose; those that are undecided are left out.

    Args:
        context: of the confirmation.
        by_target: these twins, by the symbol of the target.
        controls: losses from control states.
        spread: standard deviation of the return over control states.
    """
    found: list[Judged] = []
    groups = {symbol: list(starts) for symbol, starts in by_target.items() if len(starts) >= LEAST}
    for symbol, starts in groups.items():
        ordered = _typical_first(context, starts)
        own = context.agent_rollouts(ordered, context.config.rollouts, f"rollouts of {symbol}")
        judged = _needless(context, symbol, ordered, own, spread) or _expectation(
            context, ordered, own, controls, len(groups)
        )
        if judged is not None:
            found.append(judged)
    return found


def _typical_first(context: Context, starts: Sequence[Start]) -> list[Start]:
    matrix = distances(context.likeness, views_of(context.likeness, starts))
    return [starts[i] for i in typical_first(range(len(starts)), matrix)]


def _expectation(context: Context, starts: Sequence[Start], own: ByState, controls: Rate, groups: int) -> Judged | None:
    """Whether the agent expects too little or too much in states."""
    expected = context.expected(starts)
    if expected is None or context.expectation is None:
        return None
    rank = context.expectation.rank(views_of(context.likeness, starts).output, context.agent.spec)
    verdict = verdicts.of_expectation(context.earned(own) - expected, rank, rate_of(own), controls, groups)
    if verdict == "undecided":
        return None
    newest = starts[0].stack[-1]
    return Judged(verdict, tuple(starts), own, [], (), None, None, newest, newest)


def _needless(context: Context, symbol: str, starts: Sequence[Start], own: ByState, spread: float) -> Judged | None:
    """Whether the action that a target is named after makes nothing better where the agent takes it at once."""
    names = context.agent.spec.action_names
    if symbol not in names or context.agent.spec.continuous:
        return None
    action, decisions = names.index(symbol), min(context.config.holds)
    taking = [
        place for place, rollouts in enumerate(own) if np.mean([rollout.actions[0] == action for rollout in rollouts]) > 0.5
    ]
    if len(taking) < LEAST:
        return None
    chosen, own = [starts[place] for place in taking], [own[place] for place in taking]
    without = context.without_action(chosen, action, decisions, context.config.rollouts, f"without {symbol}")
    gains = context.returns(without) - context.returns(own)
    if not verdicts.is_needless(gains, rate_of(own), rate_of(without), spread):
        return None
    saved = rate_of(without, kept=True)
    rescue = Rescue(
        label=f"without {symbol} for {decisions} decisions",
        decisions=decisions,
        saved=saved,
        own=rate_of(own),
        tried=1,
        p=fisher(saved, rate_of(own, kept=True)),
        own_share=None,
        gain=float(gains.mean()),
    )
    newest, overrides = chosen[0].stack[-1], (Override(rescue.label, ()),) * len(chosen)
    return Judged("needless action", tuple(chosen), own, without, overrides, None, rescue, newest, newest)

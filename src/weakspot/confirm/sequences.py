"""Searches for a sequence of actions that avoids a loss, where holding one action does not.

A beam search on survival and return: every action is held for some decisions after each kept sequence, the agent plays on,
and the sequences that last longest and earn most are kept.  The result is tried again with fresh seeds, since the best of
many rollouts is lucky.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weakspot.actions import Action
from weakspot.confirm.context import Context
from weakspot.confirm.overrides import Override, job_of, single_actions
from weakspot.confirm.rescues import AGAIN, Tried
from weakspot.confirm.rollouts import Rollout
from weakspot.confirm.starts import Start

DEPTH, PIECE, BEAM = 3, 8, 3
"""Actions of a sequence, decisions for which each is held, and sequences that are kept."""
SEARCHED = 4
"""Losing states, at most, for which sequences are searched."""
LABEL = f"a searched sequence of up to {DEPTH * PIECE} decisions"


def with_sequences(
    context: Context, starts: Sequence[Start], tried: Sequence[Tried], options: Sequence[Override]
) -> tuple[list[Tried], list[Override]]:
    """Searches sequences for the first states that no override saves, and adds those that do.

    Args:
        context: of the confirmation.
        starts: the losing states.
        tried: what the overrides did to them.
        options: these overrides.

    Returns:
        What all overrides did, those that were found included, and all overrides.
    """
    unsaved = [i for i, one in enumerate(tried) if not one.can_be_saved][:SEARCHED]
    found: dict[int, tuple[Override, float]] = {}
    for done, i in enumerate(unsaved):
        result = _search(context, starts[i])
        if result is not None:
            found[i] = result
        context.report("searched sequences", done + 1, len(unsaved))
    columns = sorted(found)
    extended: list[Tried] = []
    for i, one in enumerate(tried):
        saved = np.array([found[i][1] if i == column else 0.0 for column in columns])
        extended.append(Tried(np.append(one.first, saved > 0), np.append(one.saved, saved)))
    return extended, [*options, *(found[column][0] for column in columns)]


def _search(context: Context, start: Start) -> tuple[Override, float] | None:
    """A sequence and the share of fresh rollouts in which it has no loss; None if the best one has losses in all."""
    actions = [action for _, _, action in single_actions(context.agent.spec)]
    kept: list[tuple[Action, ...]] = [()]
    for _ in range(DEPTH):
        longer = [(*sequence, *(action,) * PIECE) for sequence in kept for action in actions]
        made = _rollouts(context, start, longer)
        order = sorted(range(len(longer)), key=lambda o: _rank(made[o], len(longer[o])))
        kept = [longer[o] for o in order[:BEAM]]
        if not made[order[0]].lost:
            break
    best = Override(LABEL, kept[0])
    saved = float(np.mean([not rollout.lost for rollout in _rollouts(context, start, [best.actions] * AGAIN)]))
    return (best, saved) if saved > 0 else None


def _rollouts(context: Context, start: Start, sequences: Sequence[tuple[Action, ...]]) -> list[Rollout]:
    horizon, seeds = context.longer, context.seeds
    jobs = [job_of(start, Override("", sequence), seeds.next(), horizon) for sequence in sequences]
    return context.until_loss(jobs, "searched sequences")


def _rank(rollout: Rollout, length: int) -> tuple[bool, int, float]:
    """Sequences without a loss come first, then those after which the agent lasts longest, then those that earn most."""
    lasted = len(rollout.actions) if rollout.loss is None else rollout.loss
    return rollout.lost, -(lasted - length), -rollout.total

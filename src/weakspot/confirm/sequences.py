"""Searches for a sequence of actions that avoids a loss, where holding one action does not.

First the agent plays with random actions among its own for some decisions, several times; the actions of the rollout without
a loss that earns most are tried again.  Then, for some states that this does not save, a beam search on survival and
return: every action is held for some decisions after each kept sequence, the agent plays on, and the sequences that last
longest and earn most are kept.  What is found is tried again with fresh seeds, since the best of many rollouts is lucky.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weakspot.actions import Action
from weakspot.confirm.context import Context
from weakspot.confirm.overrides import Override, job_of, searched, single_actions
from weakspot.confirm.rescues import AGAIN, SAVES, Tried
from weakspot.confirm.rollouts import Job, Rollout
from weakspot.confirm.starts import Start

DEPTH, PIECE, BEAM = 3, 8, 3
"""Actions of a sequence, decisions for which each is held, and sequences that are kept."""
SEARCHED = 4
"""Losing states, at most, for which there is a beam search."""
TRIALS, NOISE = 12, 0.5
"""Rollouts with random actions from each losing state that nothing saves, and the share of these among the first actions."""


def with_sequences(
    context: Context, starts: Sequence[Start], tried: Sequence[Tried], options: Sequence[Override]
) -> tuple[list[Tried], list[Override]]:
    """Searches sequences for the states that no override saves, and adds those that do.

    Args:
        context: of the confirmation.
        starts: the losing states.
        tried: what the overrides did to them.
        options: these overrides.

    Returns:
        What all overrides did, those that were found included, and all overrides.
    """
    unsaved = [i for i, one in enumerate(tried) if not one.can_be_saved]
    found = {unsaved[place]: result for place, result in _perturbed(context, [starts[i] for i in unsaved]).items()}
    left = [i for i in unsaved if i not in found or found[i][1] < SAVES][:SEARCHED]
    for done, i in enumerate(left):
        result = _search(context, starts[i])
        if result is not None and result[1] > found.get(i, (result[0], 0.0))[1]:
            found[i] = result
        context.report("searched sequences", done + 1, len(left))
    columns = sorted(found)
    extended: list[Tried] = []
    for i, one in enumerate(tried):
        saved = np.array([found[i][1] if i == column else 0.0 for column in columns])
        extended.append(Tried(np.append(one.first, saved > 0), np.append(one.saved, saved)))
    return extended, [*options, *(found[column][0] for column in columns)]


def _perturbed(context: Context, starts: Sequence[Start]) -> dict[int, tuple[Override, float]]:
    """By place of the state, the actions of its best rollout with random actions, and the share of fresh rollouts in which
    these have no loss; states without such a rollout are missing."""
    length = max(context.config.holds)
    horizon, seeds = context.longer + length, context.seeds
    made = context.until_loss(
        [
            Job(start.snapshot, seeds.next(), horizon, noise=NOISE, noise_for=length, hidden=start.hidden)
            for start in starts
            for _ in range(TRIALS)
        ],
        "random sequences",
    )
    candidates: dict[int, Override] = {}
    for place in range(len(starts)):
        survived = [rollout for rollout in made[place * TRIALS : (place + 1) * TRIALS] if not rollout.lost]
        if survived:
            best = max(survived, key=lambda rollout: rollout.total)
            candidates[place] = searched(context.agent.spec, best.actions[:length])
    pairs = [(starts[place], override.actions) for place, override in candidates.items()]
    saved = dict(zip(candidates, _saved(context, pairs, "random sequences"), strict=True))
    return {place: (candidates[place], share) for place, share in saved.items() if share > 0}


def _search(context: Context, start: Start) -> tuple[Override, float] | None:
    """A sequence and the share of fresh rollouts in which it has no loss; None if the best one has losses in all."""
    actions = [action for _, _, action in single_actions(context.agent.spec)]
    kept: list[tuple[Action, ...]] = [()]
    for _ in range(DEPTH):
        longer = [(*sequence, *(action,) * PIECE) for sequence in kept for action in actions]
        made = _rollouts(context, [(start, sequence) for sequence in longer], "searched sequences")
        order = sorted(range(len(longer)), key=lambda o: _rank(made[o], len(longer[o])))
        kept = [longer[o] for o in order[:BEAM]]
        if not made[order[0]].lost:
            break
    best = searched(context.agent.spec, kept[0])
    (saved,) = _saved(context, [(start, best.actions)], "searched sequences")
    return (best, saved) if saved > 0 else None


def _saved(context: Context, pairs: Sequence[tuple[Start, tuple[Action, ...]]], what: str) -> list[float]:
    """The share of :data:`AGAIN` fresh rollouts without a loss, for each state and sequence."""
    made = iter(_rollouts(context, [pair for pair in pairs for _ in range(AGAIN)], what))
    return [float(np.mean([not next(made).lost for _ in range(AGAIN)])) for _ in pairs]


def _rollouts(context: Context, pairs: Sequence[tuple[Start, tuple[Action, ...]]], what: str) -> list[Rollout]:
    """A rollout from each state, with a sequence of actions first."""
    horizon, seeds = context.longer, context.seeds
    return context.until_loss(
        [job_of(start, Override("", sequence), seeds.next(), horizon) for start, sequence in pairs], what
    )


def _rank(rollout: Rollout, length: int) -> tuple[bool, int, float]:
    """Sequences without a loss come first, then those after which the agent lasts longest, then those that earn most."""
    lasted = len(rollout.actions) if rollout.loss is None else rollout.loss
    return rollout.lost, -(lasted - length), -rollout.total

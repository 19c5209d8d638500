"""Groups of states from which the agent mostly loses: their causes, their rescues, and the verdicts on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.weaknesses import Cause, CauseVariable, Correlate, Rate, Rescue
from weakspot.confirm import verdicts
from weakspot.confirm.causes import CauseFinder, Unit, Usual, units_of
from weakspot.confirm.context import ByState, Context
from weakspot.confirm.correlates import LEAST, correlates, similar
from weakspot.confirm.groups import alike, distances, typical_first
from weakspot.confirm.overrides import Override, label_of, overrides
from weakspot.confirm.records import Judged
from weakspot.confirm.rescues import AGAIN, Tried, best_for_group, try_overrides
from weakspot.confirm.rollouts import Rollout
from weakspot.confirm.sequences import with_sequences
from weakspot.confirm.starts import Start, unchanged, views_of
from weakspot.confirm.statistics import fisher, rate_of
from weakspot.envs.editable import Variable

JUDGED = 12
"""States of a group, at most, whose rollouts judge it."""
AS_GOOD = 0.05
"""Share of rollouts without a loss by which a rescue may be worse than the best."""
DIFFERENT = 0.15
"""Share of rollouts without a loss by which rescues that differ from state to state have to be better than a single one."""
LEAST_ROLLOUTS = 24
"""Rollouts with a rescue, at least, that judge it, and as many without it."""
SHARED = 0.5
"""Share of rollouts without a loss, at least, in a state that shares the cause of another one."""


@dataclass(frozen=True)
class Group:
    """Losing states that belong together.

    Attributes:
        states: their indices, the most typical one first.
        causes: units that decide about the loss.
        together: whether these have to be changed together.

    The states of a group of what-ifs differ from recorded ones in one thing, and that is its cause.
    """

    states: list[int]
    causes: list[Unit]
    together: bool


def losing_groups(
    context: Context, starts: Sequence[Start], safe: Sequence[Start], usual: Usual | None, taken: Sequence[int] = ()
) -> list[Judged]:
    """Verdicts on all groups of losing states.

    Args:
        context: of the confirmation.
        starts: the losing states.
        safe: recorded states from which nothing was lost.
        usual: usual values of the variables; None if causes cannot be looked for.
        taken: actions that the agent often takes where it loses.
    """
    if not starts:
        return []
    options = overrides(context.agent.spec, context.config, context.reference, taken)
    tried, options = with_sequences(context, starts, try_overrides(context, starts, options), options)
    finder = None if usual is None else CauseFinder(context, usual)
    groups = _groups(context, starts, tried, finder)
    return [_judged(context, starts, safe, group, tried, options, finder, len(groups)) for group in groups]


def _groups(context: Context, starts: Sequence[Start], tried: Sequence[Tried], finder: CauseFinder | None) -> list[Group]:
    """What-ifs in which alike things were changed; states that share a cause; then those that are alike, apart by whether a
    rescue was found."""
    matrix = distances(context.likeness, views_of(context.likeness, starts))
    groups = [Group(typical_first(places, matrix), [], False) for places in _by_change(starts)]
    remaining: list[int] = [index for index, start in enumerate(starts) if start.what_if is None]
    unexplained: list[int] = []
    for _ in range(context.config.probes if finder else 0):
        hopeful = [i for i in remaining if tried[i].can_be_saved]
        if finder is None or not remaining:
            break
        probe = typical_first(hopeful or remaining, matrix)[0]
        remaining.remove(probe)
        causes, together = finder.sweep(starts[probe])
        if not causes:
            unexplained.append(probe)
            continue
        members = [probe, *_sharing(context, finder, causes, together, starts, remaining)]
        remaining = [i for i in remaining if i not in members]
        groups.append(Group(typical_first(members, matrix), causes, together))
    rest = sorted([*unexplained, *remaining])
    for part in ([i for i in rest if tried[i].can_be_saved], [i for i in rest if not tried[i].can_be_saved]):
        for places in alike(matrix[np.ix_(part, part)]) if part else []:
            groups.append(Group(typical_first([part[place] for place in places], matrix), [], False))
    return groups


def _by_change(starts: Sequence[Start]) -> list[list[int]]:
    """The what-ifs, by the kind of what was changed."""
    kinds: dict[str, list[int]] = {}
    for index, start in enumerate(starts):
        if start.what_if is not None:
            kinds.setdefault(start.what_if.kind, []).append(index)
    return list(kinds.values())


def _sharing(
    context: Context, finder: CauseFinder, causes: Sequence[Unit], together: bool, starts: Sequence[Start],
    others: Sequence[int],
) -> list[int]:  # fmt: skip
    """The other losing states in which the same change avoids the loss; of several units, the first two are tried."""
    sets = [list(causes)] if together else [[unit] for unit in causes[:2]]
    members: list[int] = []
    for done, index in enumerate(others):
        tried = [finder.changed(starts[index], units, AGAIN) for units in sets]
        if any(rollouts and _kept(rollouts) >= SHARED for rollouts in tried):
            members.append(index)
        context.report("causes in other states", done + 1, len(others))
    return members


def _judged(
    context: Context, starts: Sequence[Start], safe: Sequence[Start], group: Group, tried: Sequence[Tried],
    options: Sequence[Override], finder: CauseFinder | None, groups: int,
) -> Judged:  # fmt: skip
    """The verdict on a group, by rollouts with fresh seeds."""
    states = sorted(group.states, key=lambda i: not tried[i].can_be_saved)  # stable: the most typical ones first
    judges = states[:JUDGED]
    savable = [i for i in judges if tried[i].can_be_saved] or judges
    again = [starts[i] for i in savable]
    chosen = _rescues(context, again, [tried[i] for i in savable], options)
    longer = context.longer
    own = context.agent_rollouts([starts[i] for i in judges], context.config.rollouts, "own rollouts again", horizon=longer)
    count = max(context.config.rollouts, -(-LEAST_ROLLOUTS // len(again)))
    more = context.agent_rollouts(again, count - context.config.rollouts, "own rollouts again", horizon=longer)
    of_same = [[*some, *others] for some, others in zip(own, more, strict=False)]
    better = context.override_rollouts(again, chosen, count, "rescues again")
    rescue = _rescue(context, of_same, better, chosen, len(options))
    rate = rate_of(context.within_horizon(own))
    members = [starts[i] for i in states]
    if members[0].what_if is not None:
        cause, before, after = _undone(context, members, own, groups)
    else:
        cause = _cause(context, members, group, rate_of(own), finder) if finder else None
        before, after = _next_frames(context, members[0], cause, finder)
    by_chance = members[0].what_if is not None and cause is None
    return Judged(
        verdict="undecided" if by_chance else verdicts.of_loss(rate, rescue, groups),
        starts=tuple(members),
        own=own,
        better=better,
        overrides=tuple(chosen),
        cause=cause,
        rescue=rescue,
        before=before,
        after=after,
        differs=_differs(context, members, safe) if cause is None else (),
    )


def _differs(context: Context, members: Sequence[Start], safe: Sequence[Start]) -> tuple[Correlate, ...]:
    """What separates a group from similar states without a loss; its random numbers are its own."""
    if len(members) < LEAST:
        return ()
    editable, generator = context.player.editable, np.random.default_rng([context.config.seed, 2])
    others = similar(members, safe, context.likeness)
    return correlates(members, others, None if editable is None else editable.variables, generator)


def _rescues(
    context: Context, starts: Sequence[Start], tried: Sequence[Tried], options: Sequence[Override]
) -> list[Override]:
    """The override for each state of a group: the same one for all, unless those that are best for each are better.

    All are chosen by rollouts that do not judge them.  Among overrides that are about as good, one that holds or leaves
    out a single action is taken, which is easier to understand, and then the one with the highest return.
    """
    candidates = [options[o] for o in best_for_group(tried)]
    results = [context.override_rollouts(starts, [one] * len(starts), AGAIN, "rescues of groups") for one in candidates]
    kept = [_kept([rollout for rollouts in result for rollout in rollouts]) for result in results]
    good = [place for place in range(len(candidates)) if kept[place] >= max(kept) - AS_GOOD]

    def worth(place: int) -> tuple[bool, float]:
        return candidates[place].action is not None, float(context.returns(results[place]).mean())

    chosen = max(good, key=worth)
    if float(np.mean([one.saved.max() for one in tried])) <= kept[chosen] + DIFFERENT:
        return [candidates[chosen]] * len(starts)
    counts = np.sum([one.saved for one in tried], axis=0)
    best = [max(range(len(options)), key=lambda o, one=one: (one.saved[o], counts[o])) for one in tried]
    return [options[o] for o in best]


def _kept(rollouts: Sequence[Rollout]) -> float:
    """The share of rollouts without a loss."""
    return float(np.mean([not rollout.lost for rollout in rollouts]))


def _rescue(context: Context, own: ByState, better: ByState, chosen: Sequence[Override], tried: int) -> Rescue:
    saved = rate_of(better, kept=True)
    actions = {option.action for option in chosen if option.action is not None}
    alike = all(option.held is not None for option in chosen) or all(option.without is not None for option in chosen)
    return Rescue(
        label=label_of(chosen),
        decisions=max(option.decisions for option in chosen),
        saved=saved,
        own=rate_of(own),
        tried=tried,
        p=fisher(saved, rate_of(own, kept=True)),
        own_share=_own_share(own, actions, chosen) if alike else None,
        gain=float(context.returns(better).mean() - context.returns(own).mean()),
    )


def _own_share(own: ByState, actions: set[int], chosen: Sequence[Override]) -> float:
    """The share of the agent's first decisions in which it takes one of the actions that are held or left out."""
    taken = [
        action in actions
        for rollouts, option in zip(own, chosen, strict=True)
        for rollout in rollouts
        for action in rollout.actions[: option.decisions]
    ]
    return float(np.mean(taken))


def _cause(context: Context, starts: Sequence[Start], group: Group, rate: Rate, finder: CauseFinder) -> Cause | None:
    """The cause of a group, confirmed with fresh seeds; None if it is not confirmed, or if there is none.

    Args:
        context: of the confirmation.
        starts: the states of the group.
        group: with the units that may be the cause.
        rate: of losses in the agent's own rollouts, as long as those that judge the cause.
        finder: of causes.
    """
    judges = starts[:JUDGED]
    unchanged = Rate(rate.trials - rate.events, rate.trials, rate.states, 0.0, 1.0)
    confirmed: list[tuple[list[Unit], Rate, float]] = []
    for units in [group.causes] if group.together else [[unit] for unit in group.causes]:
        by_state = [finder.changed(start, units, context.config.rollouts) for start in judges] if units else []
        saved = rate_of([rollouts for rollouts in by_state if rollouts], kept=True)
        p = fisher(saved, unchanged)
        if saved.share - unchanged.share >= verdicts.BETTER and p < verdicts.LEVEL / finder.tried:
            confirmed.append((units, saved, p))
    if not confirmed:
        return None
    _, saved, p = max(confirmed, key=lambda entry: entry[1].share)
    variables = [_variable(context, unit, starts, finder) for entry in confirmed for unit in entry[0]]
    return Cause(tuple(variables), group.together, saved, finder.tried, p)


def _undone(
    context: Context, starts: Sequence[Start], own: ByState, groups: int
) -> tuple[Cause | None, np.ndarray, np.ndarray]:
    """What was changed in what-ifs as their cause, confirmed by rollouts without the change, and the newest frame of the
    first of them with and without it; None if the agent loses as often without it.

    Args:
        context: of the confirmation.
        starts: states in which alike things were changed.
        own: the agent's rollouts from the first of these.
        groups: number of groups that are judged.
    """
    before = [unchanged(context.player, context.agent, start) for start in starts[: len(own)]]
    count, horizon = context.config.rollouts, context.longer
    saved = rate_of(context.agent_rollouts(before, count, "without the change", horizon=horizon), kept=True)
    lost = rate_of(own, kept=True)
    p = fisher(saved, lost)
    frames = starts[0].stack[-1], before[0].stack[-1]
    if saved.share - lost.share < verdicts.BETTER or p >= verdicts.LEVEL / groups:
        return None, *frames
    what_if = starts[0].what_if
    assert what_if is not None and starts[0].variables is not None and before[0].variables is not None
    position = what_if.positions[0]
    now, usual = float(starts[0].variables[position]), float(before[0].variables[position])
    variable = CauseVariable(what_if.positions, what_if.kind, now, now, usual, usual)
    return Cause((variable,), False, saved, 1, p), *frames


def _variable(context: Context, unit: Unit, starts: Sequence[Start], finder: CauseFinder) -> CauseVariable:
    """A unit as a record; of several variables, the values are those of the first."""
    assert context.player.editable is not None
    position, alone = unit[0], len(unit) == 1
    here = [start.variables[position] for start in starts if start.variables is not None]
    low, high = finder.usual_range(position)
    variable = context.player.editable.variables[position]
    name = variable.name if alone else variable.group
    return CauseVariable(unit, name, float(min(here)), float(max(here)), low, high)


def _next_frames(
    context: Context, start: Start, cause: Cause | None, finder: CauseFinder | None
) -> tuple[np.ndarray, np.ndarray]:
    """The next frame of a state without the change that avoids the loss, and with it."""
    newest = start.stack[-1]
    if cause is None or finder is None:
        return newest, newest
    units = [variable.positions for variable in cause.variables]
    change = finder.changes(start, units if cause.together else units[:1])
    if change is None:
        return newest, newest
    plays = [context.player.play(start.snapshot, edit, (_still_action(context),)) for edit in ({}, change)]
    before, after = (newest if play is None else play.frames[-1] for play in plays)
    return before, after


def _still_action(context: Context) -> int | tuple[float, ...]:
    """An action with which a changed state is drawn: the first one, or the middle of all dimensions."""
    bounds = context.agent.spec.action_bounds
    return 0 if bounds is None else tuple((low + high) / 2 for low, high in bounds)


def usual_values(variables: Sequence[Variable], starts: Sequence[Start], safe: Sequence[Start]) -> Usual | None:
    """Usual values of the variables: those in the states ``safe``, recorded ones from which nothing was lost; None if these
    are too few, or if nothing varies over all states."""
    rows = [start.variables for start in safe if start.variables is not None]
    if len(rows) < 2:
        return None
    everything = np.stack([start.variables for start in starts if start.variables is not None])
    varying: list[int] = np.flatnonzero(everything.std(axis=0) > 0).tolist()
    return Usual(np.stack(rows), units_of(variables, varying)) if varying else None

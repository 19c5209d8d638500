"""Weaknesses as records: what was found of a group of states, in the form in which it is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.actions import plain_action
from weakspot.artifacts.weaknesses import Cause, Clip, Correlate, Rescue, StartRecord, StateRollouts, Verdict, Weakness
from weakspot.confirm.clips import AFTER, ClipRecorder
from weakspot.confirm.context import ByState, Context
from weakspot.confirm.overrides import Override
from weakspot.confirm.rollouts import Rollout
from weakspot.confirm.starts import Start
from weakspot.confirm.statistics import rate_of, share


@dataclass(frozen=True, eq=False)
class Judged:
    """A weakness before it has words and clips.

    Attributes:
        verdict: on the group.
        starts: its states, the most typical one first.
        own: the agent's rollouts from the first of these, with fresh seeds.
        better: rollouts of the rescue, or without the needless action, from the first of these; empty if there are none.
        overrides: what was done in these, for each state; empty if there are none.
        cause, rescue: see :class:`weakspot.artifacts.weaknesses.Weakness`.
        before, after: the next frame of the first state without the change that avoids the loss, and with it (h, w, c).
        differs: see :class:`weakspot.artifacts.weaknesses.Weakness`.
    """

    verdict: Verdict
    starts: tuple[Start, ...]
    own: ByState
    better: ByState
    overrides: tuple[Override, ...]
    cause: Cause | None
    rescue: Rescue | None
    before: np.ndarray
    after: np.ndarray
    differs: tuple[Correlate, ...] = ()


def weakness_of(context: Context, judged: Judged, controls: Sequence[Start], clips: ClipRecorder) -> Weakness:
    """The record of a weakness, without its sentence; its clips are recorded.

    Args:
        context: of the confirmation.
        judged: what was found.
        controls: all recorded states that were drawn at random.
        clips: gets the frames of a loss and of its rescue.
    """
    members = {start.route.start for start in judged.starts if start.is_control}
    met = [int(start.route.start in members) for start in controls]
    expected = context.expected(judged.starts)
    loss, rescued = clips_of(judged, clips)
    what_if = judged.starts[0].what_if
    return Weakness(
        verdict=judged.verdict,
        sentence="",
        targets=tuple(dict.fromkeys(start.target for start in judged.starts if start.target)),
        states=tuple(start_record(start) for start in judged.starts),
        rate=rate_of(context.within_horizon(judged.own)),
        met=share(met, [1] * len(met)),
        expected=None if expected is None else float(expected.mean()),
        earned=float(context.earned(judged.own).mean()),
        cause=judged.cause,
        rescue=judged.rescue,
        loss=loss,
        rescued=rescued,
        differs=judged.differs,
        ends=_ends(context.within_horizon(judged.own)),
        changed=() if what_if is None else what_if.words,
    )


def _ends(rollouts: ByState) -> dict[str, int]:
    """Why the episodes of lost rollouts ended, the most frequent first."""
    causes = Counter(rollout.cause for of_state in rollouts for rollout in of_state if rollout.lost and rollout.cause)
    return dict(causes.most_common())


def state_rollouts(start: Start, rollouts: Sequence[Rollout]) -> StateRollouts:
    """What the first rollouts from a state showed."""
    lost, earned = sum(rollout.lost for rollout in rollouts), float(np.mean([rollout.total for rollout in rollouts]))
    return StateRollouts(start.source, start.route.start, len(rollouts), lost, earned)


def start_record(start: Start) -> StartRecord:
    """How the state is made."""
    route = start.route
    actions = tuple(plain_action(action) for action in route.actions)
    return StartRecord(start.source, route.start, {int(k): float(v) for k, v in route.changes.items()}, actions)


def clips_of(judged: Judged, clips: ClipRecorder) -> tuple[Clip | None, Clip | None]:
    """A loss and its rescue from the state that shows both most surely, or else a rollout of each kind from the first."""

    def choice(state: int) -> tuple[float, int]:
        lost = np.mean([rollout.lost for rollout in judged.own[state]])
        kept = np.mean([not rollout.lost for rollout in judged.better[state]]) if judged.better else 0.0
        return -float(lost * kept), state

    state = min(range(len(judged.better or judged.own)), key=choice)
    start = judged.starts[state]
    own = next((rollout for rollout in judged.own[state] if rollout.lost), judged.own[state][0])
    length = (own.loss or len(own.actions)) + AFTER
    loss = clips.record(state, start.snapshot, own, None, length)
    if not judged.better:
        return loss, None
    better = next((rollout for rollout in judged.better[state] if not rollout.lost), judged.better[state][0])
    override = judged.overrides[state]
    length = max(length, override.decisions + AFTER)
    return loss, clips.record(state, start.snapshot, better, override, length)

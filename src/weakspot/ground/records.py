"""Twins as an artifact, with what each change of a variable does to the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weakspot.actions import plain_action
from weakspot.agents.base import concat_outputs
from weakspot.artifacts.twins import Change, Distances, Possibility, Twins, TwinSearch
from weakspot.artifacts.twins import Twin as TwinRecord
from weakspot.ground.play import Player, Route
from weakspot.ground.twins import SHORTFALL, Grounds, Twin
from weakspot.search.energy import TargetScale


def twins_artifact(grounds: Grounds, target: str, twins: Sequence[Twin], usual: float, scale: TargetScale) -> Twins:
    """The artifact of the twins of one target.

    Args:
        grounds: of the agent.
        target: symbol or name of the target.
        twins: of the first synthesised states.
        usual: ``--ground.usual``.
        scale: of the target over recorded states.
    """
    player = grounds.player
    output = concat_outputs([twin.output for twin in twins])
    records = [_record(player, number, twin) for number, twin in enumerate(twins)]
    return Twins(
        search=TwinSearch(
            target=target, alike=grounds.alike, shortfall=SHORTFALL * scale.scale, spread=scale.scale,
            best_real=scale.best, twins=tuple(records), usual=usual,
        ),
        states=np.stack([twin.stack for twin in twins]),
        scores=output.scores.cpu().numpy(),
        value=None if output.value is None else output.value.cpu().numpy(),
        unedited=np.stack([_unedited(player, twin) for twin in twins]),
        alone=_alone(player, twins),
    )  # fmt: skip


def _record(player: Player, number: int, twin: Twin) -> TwinRecord:
    editable = player.editable
    names = [variable.name for variable in editable.variables] if editable else []
    checks = twin.checks
    return TwinRecord(
        number=number,
        kind=twin.kind,
        accepted=twin.accepted,
        start=twin.route.start,
        changes=tuple(
            Change(position, names[position], twin.values[position], value)
            for position, value in sorted(twin.route.changes.items())
        ),
        actions=tuple(plain_action(action) for action in twin.route.actions),
        distances=Distances(*(float(distance) for distance in twin.distances)),
        aim=twin.aim,
        target=twin.target,
        possible=None if checks is None else Possibility(checks.settles, checks.round_trip, checks.objects, checks.plays_on),
        unusual=twin.unusual,
        environment_steps=twin.steps,
        seconds=round(twin.seconds, 2),
    )


def _unedited(player: Player, twin: Twin) -> np.ndarray:
    """What the environment draws without the changes (k, h, w, c)."""
    if not twin.route.changes:
        return twin.stack
    play = player.make(Route(twin.route.start, {}, twin.route.actions))
    length = len(twin.stack)
    return twin.stack if play is None or len(play.frames) < length else play.frames[-length:]


def _alone(player: Player, twins: Sequence[Twin]) -> np.ndarray:
    """The newest frame with one change alone, for all changes of all twins (m, h, w, c)."""
    shape = twins[0].stack.shape[1:]
    frames: list[np.ndarray] = []
    for twin in twins:
        for position, value in sorted(twin.route.changes.items()):
            play = player.make(Route(twin.route.start, {position: value}, twin.route.actions))
            frames.append(_unedited(player, twin)[-1] if play is None or play.ended else play.frames[-1])
    return np.stack(frames) if frames else np.zeros((0, *shape), np.uint8)

"""What-ifs: recorded states from which nothing was lost, in which one thing is changed so that the agent loses.

Rollouts from recorded states find what goes wrong in the world that was recorded.  A driver who never met anybody on the
street may still hit the first person who steps out.  So one unit of variables (:mod:`weakspot.confirm.causes`), such as one
person, is changed in a recorded state, among those units that the agent sees there, and the agent plays on.

    1. which units are seen: all of them are replaced by recorded values, half of them, and so on
    2. one of them gets other values: recorded ones, values near its own, or any within its bounds
    3. the unit has to be seen still, the state has to be possible, and most of its picture as before, so that the change can
       be pointed at
    4. changes after which the agent loses soon are tried on alike units in other states, where it has to lose more often
       than after two random actions: where it often loses anyway, it does so after a change that means nothing, too

What is left is judged like all other states: by rollouts with fresh seeds, with the change and without it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from weakspot.actions import Action
from weakspot.confirm.causes import Unit, Usual
from weakspot.confirm.context import Context
from weakspot.confirm.rollouts import Job
from weakspot.confirm.starts import Start, WhatIf, start_at
from weakspot.confirm.statistics import fisher, share
from weakspot.confirm.verdicts import LEAST_STATES, LEVEL
from weakspot.envs.editable import Variable, name_changes
from weakspot.envs.plays import Play, Trial
from weakspot.ground.likeness import MOVING, in_any_channel
from weakspot.ground.play import Route

SCENES = 40
"""Recorded states, at most, in which something is changed."""
ROUNDS = 6
"""Parts of the search; changes that led to losses are tried elsewhere in the next one."""
DRAWN = 8
"""Changes that are drawn for each rollout; many are refused, not seen, or not possible."""
ALONE = 0.5
"""Probability that one variable of a unit is changed alone; that of two is half of this, and so on."""
WITHOUT = 3
"""Recorded values that a seen unit gets, to know the picture without it."""
NOISY = 2
"""Random actions, as a change that means nothing."""
FEW = 10
"""Values of a variable, at most, of which each is as likely as the others."""
SOON = 40
"""Decisions within which the agent has to lose, where losses are events."""
MOST = 0.1
"""Share of the pixels of the newest frame that a change may change."""
COPIED = 0.6
"""Share of changes that led to a loss in another state, once there are any."""
NEAR = 0.1
"""Standard deviation of a change to a value near its own, in standard deviations of the usual values; at least 1 for whole
numbers."""
KEPT, ALIKE = 12, 6
"""States that are looked at closely, and those of one kind of unit."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """A unit that is seen in a scene, and the newest frames (m, h, w, c) with recorded values in place of its own."""

    unit: Unit
    without: np.ndarray


@dataclass(frozen=True, eq=False)
class _Scene:
    """A recorded state in which something is changed, as many decisions before it as it has frames.

    Attributes:
        start: the state.
        at: index of the recorded state that is changed.
        snapshot: of it.
        actions: that were taken from there on.
        values: of its variables (v,).
        units: that are seen, by their kinds.
    """

    start: Start
    at: int
    snapshot: bytes
    actions: tuple[Action, ...]
    values: np.ndarray
    units: Mapping[str, Sequence[_Seen]]


@dataclass(frozen=True)
class _Change:
    """A change of one unit of a scene.

    Attributes:
        scene: number of the scene.
        kind: of the unit.
        seen: the unit.
        values: of its variables, by their positions.
        origin: the place among those played of the change in another scene of which it is a copy; None for random changes.
    """

    scene: int
    kind: str
    seen: _Seen
    values: Mapping[int, float]
    origin: int | None


_Shown: TypeAlias = tuple[_Change, np.ndarray, float]
"""A change, the state (k, h, w, c) after it, and the share of the pixels that it changes."""


@dataclass(frozen=True)
class _Played:
    """A change, its state, and whether the agent lost."""

    change: _Change
    start: Start
    lost: bool


def what_ifs(context: Context, safe: Sequence[Start], usual: Usual) -> list[Start]:
    """States in which one thing was changed, and from which the agent then lost a rollout; two or more of each kind.

    Args:
        context: of the confirmation; ``context.possible`` says which states can be.
        safe: recorded states from which nothing was lost.
        usual: usual values of the variables.
    """
    scenes = _scenes(context, safe, usual) if context.config.what_ifs else []
    search = _Search(context, scenes, usual)
    search.run(context.config.what_ifs)
    return search.chosen()


def kind_of(unit: Unit, variables: Sequence[Variable]) -> str:
    """The kind of a unit: its variable, or its group without its number, such as ``person``."""
    variable = variables[unit[0]]
    return re.sub(r"\s*\d+$", "", variable.group) or variable.name


class _Search:
    """The search for changes after which the agent loses.

    Args:
        context: of the confirmation.
        scenes: recorded states.
        usual: usual values of the variables.
    """

    def __init__(self, context: Context, scenes: Sequence[_Scene], usual: Usual) -> None:
        editable = context.player.editable
        assert editable is not None
        self._context, self._scenes, self._usual, self._variables = context, scenes, usual, editable.variables
        self._spread = np.maximum(usual.rows.std(axis=0), [1 / NEAR if one.whole else 0.0 for one in self._variables])
        self._played: list[_Played] = []

    @property
    def horizon(self) -> int:
        """Decisions of a rollout."""
        config = self._context.config
        return min(SOON, config.horizon) if self._context.rule.measure is None else config.horizon

    def run(self, tried: int) -> None:
        """Plays up to ``tried`` rollouts after changes."""
        for number in range(ROUNDS if self._scenes else 0):
            count = (tried - len(self._played)) // (ROUNDS - number)
            drawn = [change for _ in range(DRAWN * count) if (change := self._drawn()) is not None]
            self._play(_spread_over_kinds(self._possible(drawn), count))

    def chosen(self) -> list[Start]:
        """Of each kind one losing state of each scene, of kinds with two scenes or more; those of most scenes first."""
        if not any(played.lost for played in self._played):
            return []
        anyway = self._lost_anyway()
        by_kind: dict[str, dict[int, Start]] = {}
        for played in self._played:
            if played.lost and self._matters(played.change.kind, anyway):
                by_kind.setdefault(played.change.kind, {}).setdefault(played.change.scene, played.start)
        found: list[Start] = []
        for scenes in sorted(by_kind.values(), key=lambda one: -len(one)):
            room = min(ALIKE, KEPT - len(found))
            if min(room, len(scenes)) >= LEAST_STATES:
                found += list(scenes.values())[:room]
        return found

    def _lost_anyway(self) -> list[list[bool]]:
        """Which rollouts from each scene without a change were lost, after two random actions."""
        context, count = self._context, self._context.config.first
        jobs = [
            Job(one.start.snapshot, context.seeds.next(), self.horizon, noise=1.0, noise_for=NOISY, hidden=one.start.hidden)
            for one in self._scenes
            for _ in range(count)
        ]
        lost = [rollout.lost for rollout in context.until_loss(jobs, "without a change")]
        return [lost[i : i + count] for i in range(0, len(lost), count)]

    def _matters(self, kind: str, anyway: Sequence[Sequence[bool]]) -> bool:
        """Whether the agent loses more often than anyway after changes of a kind that were copied to other scenes."""
        copies = [one for one in self._played if one.change.kind == kind and one.change.origin is not None]
        scenes = {one.change.scene for one in copies}
        without = share([sum(anyway[scene]) for scene in scenes], [len(anyway[scene]) for scene in scenes])
        rate = share([one.lost for one in copies], [1] * len(copies))
        return rate.share > without.share and fisher(rate, without) < LEVEL

    def _drawn(self) -> _Change | None:
        """A random change, or one that led to a loss elsewhere; None if it changes nothing."""
        generator = self._context.generator
        number = int(generator.integers(len(self._scenes)))
        scene = self._scenes[number]
        origin = self._origin(number) if generator.random() < COPIED else None
        if origin is not None:
            change = self._played[origin].change
            kind, seen = change.kind, _any_of(scene.units[change.kind], generator)
            found = self._copied(change, seen.unit)
        else:
            kind = list(scene.units)[int(generator.integers(len(scene.units)))]
            seen = _any_of(scene.units[kind], generator)
            count = min(int(generator.geometric(ALONE)), len(seen.unit))
            positions: list[int] = generator.choice(seen.unit, count, replace=False).tolist()
            found = {position: self._other(position, float(scene.values[position])) for position in positions}
        values = {position: value for position, value in sorted(found.items()) if value != scene.values[position]}
        return _Change(number, kind, seen, values, origin) if values else None

    def _origin(self, number: int) -> int | None:
        """One of the random changes that led to losses in other scenes than this one, where an alike unit is seen; the more
        losses its copies led to, the likelier (Thompson sampling).  None if there are none."""
        copies: dict[int, list[bool]] = {}
        for place, played in enumerate(self._played):
            origin = played.change.origin
            if origin is not None:
                copies[origin].append(played.lost)
            elif played.lost:
                copies[place] = []
        scores = {
            place: float(self._context.generator.beta(1 + sum(lost), 1 + len(lost) - sum(lost)))
            for place, lost in copies.items()
            if (change := self._played[place].change).scene != number and change.kind in self._scenes[number].units
        }
        return max(scores, key=lambda place: scores[place]) if scores else None

    def _copied(self, change: _Change, unit: Unit) -> dict[int, float]:
        """The change of an alike unit."""
        by_name = {_part(self._variables[position]): value for position, value in change.values.items()}
        names = {position: _part(self._variables[position]) for position in unit}
        return {position: by_name[name] for position, name in names.items() if name in by_name}

    def _other(self, position: int, value: float) -> float:
        """Another value of a variable: a recorded one, one near its own, or any; of few values any other one."""
        generator, variable = self._context.generator, self._variables[position]
        if variable.whole and variable.high - variable.low < FEW:
            others = np.setdiff1d(np.arange(variable.low, variable.high + 1), [value])
            return float(generator.choice(others)) if len(others) else value
        how = int(generator.integers(3 if np.isfinite([variable.low, variable.high]).all() else 2))
        if how == 0:
            return float(self._usual.rows[generator.integers(len(self._usual.rows)), position])
        if how == 1:
            moved = value + NEAR * float(self._spread[position]) * float(generator.standard_normal())
        else:
            moved = float(generator.uniform(variable.low - variable.whole / 2, variable.high + variable.whole / 2))
        moved = float(np.rint(moved)) if variable.whole else moved
        return float(np.clip(moved, variable.low, variable.high))

    def _possible(self, drawn: Sequence[_Change]) -> list[_Shown]:
        """The new changes that can be seen, change little else and lead to possible states, in random order."""
        shown: list[_Shown] = []
        known = {(played.change.scene, *played.change.values.items()) for played in self._played}
        for number, scene in enumerate(self._scenes):
            changes = {(number, *change.values.items()): change for change in drawn if change.scene == number}
            own = [change for key, change in changes.items() if key not in known]
            plays = self._context.player.trials(scene.snapshot, [Trial(c.values, scene.actions) for c in own]) if own else []
            for change, play in zip(own, plays, strict=True):
                stack = _drawn_after(play, scene)
                changed = 0.0 if stack is None else _differing(stack[-1], scene.start.stack[-1])
                if stack is not None and 0.0 < changed <= MOST and _is_seen(stack[-1], change.seen.without):
                    shown.append((change, stack, changed))
        if not shown:
            return []
        assert self._context.possible is not None
        possible = self._context.possible(np.stack([stack for _, stack, _ in shown]))
        kept = [entry for entry, is_possible in zip(shown, possible, strict=True) if is_possible]
        return [kept[place] for place in self._context.generator.permutation(len(kept))]

    def _play(self, changes: Sequence[_Shown]) -> None:
        """Plays a rollout after each change."""
        context = self._context
        starts = [self._start(change, stack) for change, stack, _ in changes]
        jobs = [Job(start.snapshot, context.seeds.next(), self.horizon, hidden=start.hidden) for start in starts]
        rollouts = context.until_loss(jobs, "what-ifs")
        for (change, _, _), start, rollout in zip(changes, starts, rollouts, strict=True):
            self._played.append(_Played(change, start, rollout.lost))

    def _start(self, change: _Change, stack: np.ndarray) -> Start:
        scene = self._scenes[change.scene]
        route = Route(scene.at, change.values, scene.actions)
        words = tuple(name_changes(self._variables, scene.values, change.values))
        what_if = WhatIf(change.kind, tuple(change.values), words)
        return start_at(self._context.player, self._context.agent, route, stack, "what-if", what_if=what_if)


def _spread_over_kinds(possible: Sequence[_Shown], count: int) -> list[_Shown]:
    """At most ``count`` of the possible changes: copies first, up to their share, then random ones of all kinds in turn.

    Of each kind those come first that change most of the picture: what is close to the agent is large in it.
    """
    copies = [entry for entry in possible if entry[0].origin is not None][: math.ceil(COPIED * count)]
    by_kind: dict[str, list[_Shown]] = {}
    for entry in possible:
        if entry[0].origin is None:
            by_kind.setdefault(entry[0].kind, []).append(entry)
    ordered = [sorted(entries, key=lambda entry: -entry[2]) for entries in by_kind.values()]
    turns = itertools.zip_longest(*ordered)
    return [*copies, *(entry for turn in turns for entry in turn if entry is not None)][:count]


def _scenes(context: Context, safe: Sequence[Start], usual: Usual) -> list[_Scene]:
    """Recorded states that are long enough after the beginning of an episode, with the units that are seen there."""
    player, generator = context.player, context.generator
    assert player.editable is not None
    frames = player.dataset.environment.frames
    old = [start for start in safe if player.dataset.age[start.route.start] >= 2 * frames]
    chosen: list[int] = np.sort(generator.permutation(len(old))[:SCENES]).tolist()
    scenes: list[_Scene] = []
    for done, start in enumerate([old[place] for place in chosen]):
        at = start.route.start - frames
        snapshot, actions = player.place(at), player.recorded_actions(at, frames)
        player.environment.restore(snapshot)
        blind = _Scene(start, at, snapshot, actions, player.editable.read_variables(), {})
        units: dict[str, list[_Seen]] = {}
        for seen in _seen(context, blind, usual):
            units.setdefault(kind_of(seen.unit, player.editable.variables), []).append(seen)
        if units:
            scenes.append(replace(blind, units=units))
        context.report("what is seen", done + 1, len(chosen))
    return scenes


def _seen(context: Context, scene: _Scene, usual: Usual) -> list[_Seen]:
    """The units that change the newest frame of a scene when they get recorded values; found by halving."""
    singles: list[Unit] = []
    sets: list[tuple[Unit, ...]] = [usual.units]
    while sets:
        rows = usual.rows[context.generator.integers(len(usual.rows), size=len(sets))]
        changes = [_replaced(scene, units, row) for units, row in zip(sets, rows, strict=True)]
        plays = context.player.trials(scene.snapshot, [Trial(change, scene.actions) for change in changes])
        halves: list[tuple[Unit, ...]] = []
        for units, play in zip(sets, plays, strict=True):
            stack = _drawn_after(play, scene)
            if stack is not None and not _differing(stack[-1], scene.start.stack[-1]):
                continue
            if len(units) > 1:
                halves += [units[: len(units) // 2], units[len(units) // 2 :]]
            else:
                singles += units
        sets = halves
    found = [_Seen(unit, _frames_without(context, scene, unit, usual)) for unit in singles]
    return [seen for seen in found if any(_differing(frame, scene.start.stack[-1]) for frame in seen.without)]


def _frames_without(context: Context, scene: _Scene, unit: Unit, usual: Usual) -> np.ndarray:
    """The newest frames (m, h, w, c) of a scene with recorded values in place of those of a unit."""
    rows = usual.rows[context.generator.integers(len(usual.rows), size=WITHOUT)]
    trials = [Trial(_replaced(scene, (unit,), row), scene.actions) for row in rows]
    stacks = [_drawn_after(play, scene) for play in context.player.trials(scene.snapshot, trials)]
    frames = [stack[-1] for stack in stacks if stack is not None]
    return np.array(frames, np.uint8).reshape(len(frames), *scene.start.stack.shape[1:])


def _replaced(scene: _Scene, units: Sequence[Unit], row: np.ndarray) -> dict[int, float]:
    """The values of units in a recorded state, as changes of a scene."""
    return {position: float(row[position]) for unit in units for position in unit if row[position] != scene.values[position]}


def _is_seen(frame: np.ndarray, without: np.ndarray) -> bool:
    """Whether a frame is none of those that show a unit elsewhere or not at all."""
    return all(_differing(frame, other) > 0.0 for other in without)


def _drawn_after(play: Play | None, scene: _Scene) -> np.ndarray | None:
    """The state (k, h, w, c) after a change; None if the change is refused, or the episode ends."""
    return None if play is None or play.ended else play.frames[-len(scene.start.stack) :]


def _differing(frame: np.ndarray, other: np.ndarray) -> float:
    """The share of pixels in which two frames (h, w, c) differ."""
    return float(in_any_channel(np.abs(frame.astype(np.int16) - other) > MOVING).mean())


def _part(variable: Variable) -> str:
    """The name of a variable within its group, such as ``speed``."""
    return variable.name.removeprefix(variable.group).strip()


def _any_of(units: Sequence[_Seen], generator: np.random.Generator) -> _Seen:
    return units[int(generator.integers(len(units)))]

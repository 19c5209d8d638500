"""Searches for the changes of variables after which the environment draws a wanted state.

An evolution strategy (1 + lambda) over sets of changes and the actions after them: each child changes up to three more
variables of the parent, to values that they had together in a similar recorded state or to values near their own, drops a
change, or takes other actions than the recorded ones.  The best child replaces the parent if it is closer to the wanted
state.  At the end, changes and actions that do not matter are taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.actions import Action
from weakspot.envs.base import EnvironmentSpec
from weakspot.envs.editable import Variable
from weakspot.envs.plays import Trial
from weakspot.envs.random_actions import random_action
from weakspot.ground.play import Player, Route
from weakspot.types import Stacks

CHILDREN = 16
"""lambda, children that are compared at once."""
TOGETHER = 3
"""Variables, at most, that a child changes."""
FROM_RECORDED, DROPPED = 0.6, 0.2
"""Probability that changed values come from a recorded state, and that a child drops a change as well."""
OTHER_ACTIONS, ACTIONS_ALONE, HELD = 0.3, 0.5, 0.5
"""Probability that a child takes other actions than its parent; then, that it changes no variables; and that the new action
is held to the end instead of being taken once."""
NEARBY = 8
"""Largest change of a whole number to a value near its own."""
SPREAD = 0.1
"""Standard deviation of the change of another number, in standard deviations of the recorded values."""
NEEDLESS = 0.01
"""A change is dropped if the score gets worse by at most this share without it."""

Score = Callable[[Stacks], np.ndarray]
"""The distance of stacks (n, k, h, w, c) from the wanted state (n,); lower is better."""


@dataclass(frozen=True)
class VariableBank:
    """Values of the variables in recorded states.

    Attributes:
        variables: of the environment.
        rows: their values in recorded states (m, v).
        indices: of these states (m,).
        varying: positions of the variables that vary.
        spread: standard deviation of each variable (v,).
    """

    variables: tuple[Variable, ...]
    rows: np.ndarray
    indices: np.ndarray
    varying: np.ndarray
    spread: np.ndarray


def bank_of(variables: tuple[Variable, ...], rows: np.ndarray, indices: np.ndarray) -> VariableBank:
    """The values (m, v) of the variables in the recorded states ``indices`` (m,) as a bank."""
    spread = rows.std(axis=0)
    return VariableBank(variables, rows, indices, np.flatnonzero(spread > 0), spread)


@dataclass(frozen=True)
class Found:
    """The best state of a search.

    Attributes:
        route: that makes it.
        stack: the state (k, h, w, c).
        score: its distance from the wanted state.
    """

    route: Route
    stack: np.ndarray
    score: float


def search_edits(
    player: Player,
    starts: Sequence[int],
    bank: VariableBank,
    score: Score,
    trials: int,
    generator: np.random.Generator,
) -> Found | None:
    """The changes of variables in a recorded state after which play leads closest to the wanted state.

    After the changes, as many actions are taken as a state has frames: at first the recorded ones, then also others, unless
    the environment forbids actions in some states.  Half of the trials are spread over the starts, and the best start gets
    the others.

    Args:
        player: of an editable environment.
        starts: indices of the recorded states to change.
        bank: values to change variables to.
        score: of the states that the environment then draws.
        trials: number of sets of changes and actions that are tried, apart from those without one of the best changes at the
            end.
        generator: of all choices.

    Returns:
        The best state; None if the episode ends soon whatever is changed.
    """
    searches = [_Search(player, start, bank, score) for start in starts]
    for search in searches:
        search.run(trials // (2 * len(searches)), generator)
    best = min(searches, key=lambda search: search.best.score if search.best else np.inf)
    best.run(trials - sum(search.tried for search in searches), generator)
    return best.pruned()


class _Search:
    """The search from one recorded state, which can be continued.

    Attributes:
        best: the best state so far.
        tried: sets of changes that were tried.
    """

    def __init__(self, player: Player, start: int, bank: VariableBank, score: Score) -> None:
        self._player, self._bank, self._score = player, bank, score
        self._snapshot, self._start = player.place(start), start
        self._frames = player.dataset.environment.frames
        self._actions = player.recorded_actions(start, self._frames)
        editable = player.editable
        assert editable is not None
        player.environment.restore(self._snapshot)
        self._values = editable.read_variables()
        self._spec = player.environment.spec
        self.best = self._evaluate([Trial({}, self._actions)])[0]
        self.tried = 1

    def run(self, trials: int, generator: np.random.Generator) -> None:
        """Tries more sets of changes."""
        end = self.tried + trials
        while self.tried < end and len(self._bank.varying):
            parent = Trial(self.best.route.changes, self.best.route.actions) if self.best else Trial({}, self._actions)
            count = min(CHILDREN, end - self.tried)
            children = [mutate(parent, self._values, self._bank, self._spec, generator) for _ in range(count)]
            self.tried += count
            for child in self._evaluate(children):
                if child is not None and (self.best is None or child.score < self.best.score):
                    self.best = child

    def pruned(self) -> Found | None:
        """The best state without the changes, and with the recorded actions, if these do not matter to its score."""
        if self.best is None:
            return None
        limit = self.best.score * (1.0 + NEEDLESS)
        for position in sorted(self.best.route.changes):
            without = {other: value for other, value in self.best.route.changes.items() if other != position}
            self._simplify(Trial(without, self.best.route.actions), limit)
        for place, recorded in enumerate(self._actions):
            actions = self.best.route.actions
            if actions[place] != recorded:
                self._simplify(Trial(self.best.route.changes, (*actions[:place], recorded, *actions[place + 1 :])), limit)
        return self.best

    def _simplify(self, simpler: Trial, limit: float) -> None:
        found = self._evaluate([simpler])[0]
        if found is not None and found.score <= limit:
            self.best = found

    def _evaluate(self, children: list[Trial]) -> list[Found | None]:
        """The state after each trial; None if that is impossible or the episode ends."""
        plays = self._player.trials(self._snapshot, children)
        alive = [i for i, play in enumerate(plays) if play is not None and not play.ended]
        found: list[Found | None] = [None] * len(children)
        if alive:
            stacks = np.stack([play.frames[-self._frames :] for play in plays if play is not None and not play.ended])
            for number, stack, distance in zip(alive, stacks, self._score(stacks), strict=True):
                route = Route(self._start, children[number].changes, tuple(children[number].actions))
                found[number] = Found(route, stack, float(distance))
        return found


def mutate(
    parent: Trial, values: np.ndarray, bank: VariableBank, spec: EnvironmentSpec, generator: np.random.Generator
) -> Trial:
    """A child's changes and actions.

    Args:
        parent: the changes and actions of the parent.
        values: of all variables before any change (v,).
        bank: values of recorded states.
        spec: of the environment; where it forbids actions in some states, the actions stay as they are.
        generator: of all choices.
    """
    actions = tuple(parent.actions)
    if not spec.masks_actions and generator.random() < OTHER_ACTIONS:
        actions = _other_actions(actions, spec, generator)
        if generator.random() < ACTIONS_ALONE:
            return Trial(parent.changes, actions)
    child = dict(parent.changes)
    if child and generator.random() < DROPPED:
        del child[list(child)[int(generator.integers(len(child)))]]
    count = min(int(generator.integers(1, TOGETHER + 1)), len(bank.varying))
    chosen = generator.choice(bank.varying, count, replace=False).tolist()
    if generator.random() < FROM_RECORDED:
        row = bank.rows[generator.integers(len(bank.rows))]
        child |= {position: float(row[position]) for position in chosen}
    else:
        for position in chosen:
            child[position] = _near(child.get(position, float(values[position])), position, bank, generator)
    return Trial({position: value for position, value in child.items() if value != values[position]}, actions)


def _other_actions(actions: tuple[Action, ...], spec: EnvironmentSpec, generator: np.random.Generator) -> tuple[Action, ...]:
    """The actions with one of them replaced by a random one, which is held to the end or taken once."""
    first, action = int(generator.integers(len(actions))), random_action(spec, generator)
    count = len(actions) - first if generator.random() < HELD else 1
    return (*actions[:first], *[action] * count, *actions[first + count :])


def _near(value: float, position: int, bank: VariableBank, generator: np.random.Generator) -> float:
    """A value near ``value``, within the bounds of its variable."""
    variable = bank.variables[position]
    if variable.whole:
        moved = value + int(generator.integers(-NEARBY, NEARBY + 1))
    else:
        moved = value + SPREAD * float(bank.spread[position]) * float(generator.standard_normal())
    return float(np.clip(moved, variable.low, variable.high))

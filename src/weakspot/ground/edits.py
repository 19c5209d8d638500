"""Searches for the changes of variables after which the environment draws a wanted state.

An evolution strategy (1 + lambda) over sets of changes: each child changes up to three more variables of the parent, to
values that they had together in a similar recorded state or to values near their own, or drops a change.  The best child
replaces the parent if it is closer to the wanted state.  At the end, changes that do not matter are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.envs.editable import Variable
from weakspot.ground.play import Player, Route
from weakspot.types import Stacks

CHILDREN = 16
"""lambda, children that are compared at once."""
TOGETHER = 3
"""Variables, at most, that a child changes."""
FROM_RECORDED, DROPPED = 0.6, 0.2
"""Probability that changed values come from a recorded state, and that a child drops a change as well."""
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

    After the changes, the recorded actions are taken, as many as a state has frames.  Half of the trials are spread over
    the starts, and the best start gets the others.

    Args:
        player: of an editable environment.
        starts: indices of the recorded states to change.
        bank: values to change variables to.
        score: of the states that the environment then draws.
        trials: number of sets of changes that are tried, apart from those without one of the best changes at the end.
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
        self.best = self._evaluate([{}])[0]
        self.tried = 1

    def run(self, trials: int, generator: np.random.Generator) -> None:
        """Tries more sets of changes."""
        end = self.tried + trials
        while self.tried < end and len(self._bank.varying):
            parent = dict(self.best.route.changes) if self.best else {}
            count = min(CHILDREN, end - self.tried)
            children = [mutate(parent, self._values, self._bank, generator) for _ in range(count)]
            self.tried += count
            for child in self._evaluate(children):
                if child is not None and (self.best is None or child.score < self.best.score):
                    self.best = child

    def pruned(self) -> Found | None:
        """The best state without the changes that do not matter to its score."""
        if self.best is None:
            return None
        limit = self.best.score * (1.0 + NEEDLESS)
        for position in sorted(self.best.route.changes):
            without = {other: value for other, value in self.best.route.changes.items() if other != position}
            simpler = self._evaluate([without])[0]
            if simpler is not None and simpler.score <= limit:
                self.best = simpler
        return self.best

    def _evaluate(self, children: list[dict[int, float]]) -> list[Found | None]:
        """The state after each set of changes; None if the changes are impossible or the episode ends."""
        plays = self._player.trials(self._snapshot, children, self._actions)
        alive = [i for i, play in enumerate(plays) if play is not None and not play.ended]
        found: list[Found | None] = [None] * len(children)
        if alive:
            stacks = np.stack([play.frames[-self._frames :] for play in plays if play is not None and not play.ended])
            for number, stack, distance in zip(alive, stacks, self._score(stacks), strict=True):
                found[number] = Found(Route(self._start, children[number], self._actions), stack, float(distance))
        return found


def mutate(
    parent: dict[int, float], values: np.ndarray, bank: VariableBank, generator: np.random.Generator
) -> dict[int, float]:
    """A child's changes.

    Args:
        parent: the changes of the parent.
        values: of all variables before any change (v,).
        bank: values of recorded states.
        generator: of all choices.
    """
    child = dict(parent)
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
    return {position: value for position, value in child.items() if value != values[position]}


def _near(value: float, position: int, bank: VariableBank, generator: np.random.Generator) -> float:
    """A value near ``value``, within the bounds of its variable."""
    variable = bank.variables[position]
    if variable.whole:
        moved = value + int(generator.integers(-NEARBY, NEARBY + 1))
    else:
        moved = value + SPREAD * float(bank.spread[position]) * float(generator.standard_normal())
    return float(np.clip(moved, variable.low, variable.high))

"""Causes: variables of the environment that, set to usual values alone, avoid a loss.

Variables that belong together, such as where a person is and what it does, are changed as one.  A town has hundreds of such
things, of which few matter: many of them are changed at once first, and those without an effect are not tried alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np

from weakspot.confirm.context import Context
from weakspot.confirm.rollouts import Job, Rollout
from weakspot.confirm.starts import Start
from weakspot.envs.editable import Variable

VALUES = 3
"""Usual values that each variable is set to."""
CANDIDATES = 6
"""Variables, at most, that are looked at again with fresh seeds."""
MANY = 32
"""Units of several variables from which on some of them are changed at once first."""
SAVED = 0.75
"""Share of rollouts without a loss, at least, if a variable decides about it."""
FEW = 3
"""Variables that may each decide about a loss alone: where more do, almost any change leads elsewhere; none is a cause."""


Unit: TypeAlias = tuple[int, ...]
"""Positions of variables that are changed as one: a single variable, or all of one group."""


@dataclass(frozen=True)
class Usual:
    """Usual values of the variables.

    Attributes:
        rows: their values in recorded states from which nothing was lost (m, v).
        units: what is changed as one, of the variables that vary over all states, with or without a loss.
    """

    rows: np.ndarray
    units: tuple[Unit, ...]

    def values(
        self, start: Start, units: Sequence[Unit], count: int, generator: np.random.Generator
    ) -> list[dict[int, float]]:
        """At most ``count`` sets of values for some units, as they were together, each unit other than in the state."""
        assert start.variables is not None
        positions = [position for unit in units for position in unit]
        rows = np.unique(self.rows[:, positions], axis=0)
        other = rows != start.variables[positions]
        ends = np.cumsum([len(unit) for unit in units])[:-1]
        rows = rows[np.all([part.any(axis=1) for part in np.split(other, ends, axis=1)], axis=0)]
        chosen = generator.permutation(len(rows))[:count]
        return [dict(zip(positions, map(float, rows[row]), strict=True)) for row in chosen]


def units_of(variables: Sequence[Variable], varying: Sequence[int]) -> tuple[Unit, ...]:
    """The varying variables, those of one group together."""
    groups: dict[str, list[int]] = {}
    for position in varying:
        variable = variables[position]
        groups.setdefault(variable.group or f"alone {position}", []).append(position)
    return tuple(tuple(group) for group in groups.values())


class CauseFinder:
    """Looks for causes.

    Args:
        context: of the confirmation.
        usual: values that variables are set to.
    """

    def __init__(self, context: Context, usual: Usual) -> None:
        self._context, self._usual = context, usual

    @property
    def tried(self) -> int:
        """Number of units that are tried."""
        return len(self._usual.units)

    def usual_range(self, position: int) -> tuple[float, float]:
        """The range of a variable that four fifths of its usual values are in."""
        low, high = np.quantile(self._usual.rows[:, position], [0.1, 0.9], method="nearest")
        return float(low), float(high)

    def sweep(self, start: Start) -> tuple[list[Unit], bool]:
        """The units that decide about the loss in one state.

        Returns:
            units: each of which avoids the loss alone; if there are none, a pair that does together; none if there are more
                than :data:`FEW`.
            together: whether it is a pair.
        """
        shares = self._shares(start, [(unit,) for unit in self._likely(start)], VALUES)
        ranked = sorted((key for key in shares if shares[key] > 0.5), key=lambda key: -shares[key])[:CANDIDATES]
        single = self._shares(start, ranked, 2 * VALUES)
        found = [key[0] for key in ranked if single.get(key, 0.0) >= SAVED]
        if found:
            return (found if len(found) <= FEW else []), False
        likely = sorted(shares, key=lambda key: -shares[key])[:CANDIDATES]
        pairs = [(a[0], b[0]) for a, b in combinations(likely, 2)]
        again = self._shares(start, pairs, VALUES)
        best = sorted((pair for pair in again if again[pair] > 0.5), key=lambda pair: -again[pair])[:2]
        confirmed = self._shares(start, best, 2 * VALUES)
        for pair in best:
            if confirmed.get(pair, 0.0) >= SAVED:
                return list(pair), True
        return [], False

    def changed(self, start: Start, units: Sequence[Unit], count: int) -> list[Rollout]:
        """Rollouts from a state after these units were set to usual values together."""
        found = self._rollouts([(start, change) for change in self._repeated(start, units, count)])
        return [rollout for rollout in found if rollout is not None]

    def changes(self, start: Start, units: Sequence[Unit]) -> dict[int, float] | None:
        """One set of usual values that the environment accepts, or None."""
        for change in self._usual.values(start, units, 2 * VALUES, self._context.generator):
            if self._context.pool.edited(start.snapshot, change) is not None:
                return change
        return None

    def _likely(self, start: Start) -> list[Unit]:
        """The units that are tried alone: single variables, and of many units of several variables those in sets that avoid
        half of the losses when they are changed at once, or that cannot be changed at once."""
        things = [unit for unit in self._usual.units if len(unit) > 1]
        if len(things) < MANY:
            return list(self._usual.units)
        assert start.variables is not None
        count = round(len(things) ** 0.5)
        sets = [tuple(things[place::count]) for place in range(count)]
        work: list[tuple[Start, dict[int, float]]] = []
        for units in sets:
            positions = [position for unit in units for position in unit]
            for row in self._usual.rows[self._context.generator.integers(len(self._usual.rows), size=VALUES)]:
                work.append((start, {p: float(row[p]) for p in positions if row[p] != start.variables[p]}))
        rollouts = self._rollouts(work)
        kept: set[Unit] = set()
        for place, units in enumerate(sets):
            lost = [made.lost for made in rollouts[place * VALUES : (place + 1) * VALUES] if made is not None]
            if not lost or np.mean(lost) <= 0.5:
                kept.update(units)
        return [unit for unit in self._usual.units if len(unit) == 1 or unit in kept]

    def _repeated(self, start: Start, units: Sequence[Unit], count: int) -> list[dict[int, float]]:
        """``count`` sets of usual values; some are the same if the units have too few."""
        values = self._usual.values(start, units, count, self._context.generator)
        return [values[i % len(values)] for i in range(count)] if values else []

    def _shares(self, start: Start, keys: Sequence[tuple[Unit, ...]], count: int) -> dict[tuple[Unit, ...], float]:
        """The share of rollouts without a loss after units were set to usual values together, by these units."""
        work = [(key, change) for key in keys for change in self._repeated(start, key, count)]
        rollouts = self._rollouts([(start, change) for _, change in work])
        saved: dict[tuple[Unit, ...], list[bool]] = {}
        for (key, _), rollout in zip(work, rollouts, strict=True):
            saved.setdefault(key, []).append(rollout is not None and not rollout.lost)
        return {key: float(np.mean(values)) for key, values in saved.items()}

    def _rollouts(self, work: Sequence[tuple[Start, dict[int, float]]], what: str = "causes") -> list[Rollout | None]:
        """A rollout after each change; None if the change is impossible."""
        context = self._context
        snapshots = [context.pool.edited(start.snapshot, change) for start, change in work]
        horizon, seeds = context.longer, context.seeds
        starts = [start for start, _ in work]
        pairs = zip(snapshots, starts, strict=True)
        jobs = [Job(snapshot, seeds.next(), horizon, hidden=s.hidden) for snapshot, s in pairs if snapshot is not None]
        made = iter(context.until_loss(jobs, what))
        return [None if snapshot is None else next(made) for snapshot in snapshots]

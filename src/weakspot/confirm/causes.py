"""Causes: variables of the environment that, set to usual values alone, avoid a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from weakspot.confirm.losses import LossRule
from weakspot.confirm.rollouts import Job, Roller, Rollout
from weakspot.confirm.seeds import Seeds
from weakspot.confirm.starts import Start
from weakspot.envs.pool import EnvironmentPool

VALUES = 3
"""Usual values that each variable is set to."""
CANDIDATES = 6
"""Variables, at most, that are looked at again with fresh seeds."""
SAVED = 0.75
"""Share of rollouts without a loss, at least, if a variable decides about it."""


@dataclass(frozen=True)
class Usual:
    """Usual values of the variables.

    Attributes:
        rows: their values in recorded states from which nothing was lost (m, v).
        varying: positions of the variables that vary over all states, with or without a loss.
    """

    rows: np.ndarray
    varying: np.ndarray

    def values(
        self, start: Start, positions: Sequence[int], count: int, generator: np.random.Generator
    ) -> list[dict[int, float]]:
        """At most ``count`` sets of values for the variables, as they were together, all other than in the state."""
        assert start.variables is not None
        own = start.variables[list(positions)]
        rows = np.unique(self.rows[:, list(positions)], axis=0)
        rows = rows[(rows != own).all(axis=1)]
        chosen = generator.permutation(len(rows))[:count]
        return [dict(zip(positions, map(float, rows[row]), strict=True)) for row in chosen]


class CauseFinder:
    """Looks for causes.

    Args:
        roller: makes the rollouts.
        pool: makes edited states.
        rule: what a loss is.
        usual: values that variables are set to.
        horizon: of rollouts.
        seeds: of rollouts.
        generator: of all other choices.
    """

    def __init__(
        self, roller: Roller, pool: EnvironmentPool, rule: LossRule, usual: Usual, horizon: int, seeds: Seeds,
        generator: np.random.Generator,
    ) -> None:  # fmt: skip
        self._roller, self._pool, self._rule, self._usual = roller, pool, rule, usual
        self._horizon, self._seeds, self._generator = horizon, seeds, generator

    @property
    def varying(self) -> np.ndarray:
        """Positions of the variables that are tried."""
        return self._usual.varying

    def usual_range(self, position: int) -> tuple[float, float]:
        """The range of a variable that four fifths of its usual values are in."""
        low, high = np.quantile(self._usual.rows[:, position], [0.1, 0.9])
        return float(low), float(high)

    def sweep(self, start: Start, progress: Callable[[int, int], None] | None = None) -> tuple[list[int], bool]:
        """The variables that decide about the loss in one state.

        Returns:
            positions: of variables each of which avoids the loss alone; if there are none, of a pair that does together.
            together: whether it is a pair.
        """
        shares = self._shares(start, [(int(position),) for position in self.varying], VALUES, progress)
        ranked = sorted((key for key in shares if shares[key] > 0.5), key=lambda key: -shares[key])[:CANDIDATES]
        single = self._shares(start, ranked, 2 * VALUES, progress)
        found = [key[0] for key in ranked if single.get(key, 0.0) >= SAVED]
        if found:
            return found, False
        likely = sorted(shares, key=lambda key: -shares[key])[:CANDIDATES]
        pairs = [(a[0], b[0]) for a, b in combinations(likely, 2)]
        again = self._shares(start, pairs, VALUES, progress)
        best = sorted((pair for pair in again if again[pair] > 0.5), key=lambda pair: -again[pair])[:2]
        confirmed = self._shares(start, best, 2 * VALUES, progress)
        for pair in best:
            if confirmed.get(pair, 0.0) >= SAVED:
                return list(pair), True
        return [], False

    def changed(self, start: Start, positions: Sequence[int], count: int) -> list[Rollout]:
        """Rollouts from a state after these variables were set to usual values together."""
        found = self._rollouts([(start, change) for change in self._repeated(start, positions, count)])
        return [rollout for rollout in found if rollout is not None]

    def changes(self, start: Start, positions: Sequence[int]) -> dict[int, float] | None:
        """One set of usual values that the environment accepts, or None."""
        for change in self._usual.values(start, positions, 2 * VALUES, self._generator):
            if self._pool.edited(start.snapshot, change) is not None:
                return change
        return None

    def _repeated(self, start: Start, positions: Sequence[int], count: int) -> list[dict[int, float]]:
        """``count`` sets of usual values; some are the same if the variables have too few."""
        values = self._usual.values(start, positions, count, self._generator)
        return [values[i % len(values)] for i in range(count)] if values else []

    def _shares(
        self, start: Start, keys: Sequence[tuple[int, ...]], count: int, progress: Callable[[int, int], None] | None
    ) -> dict[tuple[int, ...], float]:
        """The share of rollouts without a loss after variables were set to usual values, by the variables."""
        work = [(key, change) for key in keys for change in self._repeated(start, key, count)]
        rollouts = self._rollouts([(start, change) for _, change in work], progress)
        saved: dict[tuple[int, ...], list[bool]] = {}
        for (key, _), rollout in zip(work, rollouts, strict=True):
            saved.setdefault(key, []).append(rollout is not None and not rollout.lost)
        return {key: float(np.mean(values)) for key, values in saved.items()}

    def _rollouts(
        self, work: Sequence[tuple[Start, dict[int, float]]], progress: Callable[[int, int], None] | None = None
    ) -> list[Rollout | None]:
        """A rollout after each change; None if the change is impossible."""
        snapshots = [self._pool.edited(start.snapshot, change) for start, change in work]
        jobs = [Job(snapshot, self._seeds.next(), self._horizon) for snapshot in snapshots if snapshot is not None]
        until_loss = self._rule.measure is None
        made = iter(self._rule.judged(self._roller.run(jobs, until_loss=until_loss, progress=progress)))
        return [None if snapshot is None else next(made) for snapshot in snapshots]

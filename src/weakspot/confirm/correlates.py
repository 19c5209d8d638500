"""What separates the states of a group from similar states without a loss, where no cause is known.

Compared are the variables of the environment or, where it cannot be edited, the brightness of parts of the newest frame.
With values a_1, ..., a_n in the states of the group and b_1, ..., b_m in the others, the separation is the share of pairs

    S = (#{a_i > b_j} + #{a_i = b_j} / 2) / (n m),        or 1 - S if the values of the group are lower,

which is the statistic of Mann and Whitney.  The others are the states without a loss that are most like the group: its own
states are alike, and would differ from random ones in many ways.  With many variables and few states some separate well by
chance, so nothing is reported unless in 95 % of random exchanges of the states every variable separates them worse.  Even
then it need not be the cause.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakspot.artifacts.weaknesses import Box, Correlate
from weakspot.confirm.groups import distances_between
from weakspot.confirm.starts import Start, views_of
from weakspot.envs.editable import Variable
from weakspot.ground.likeness import Likeness
from weakspot.intervals import scipy_stats

LEAST = 4
"""States of a group, at least."""
OTHERS, PER_STATE = 12, 2
"""States without a loss that a group is compared with, at least, and for each of its states."""
EXCHANGES = 999
"""Random exchanges of states."""
LEVEL = 0.05
"""Share of exchanges, at most, in which a variable separates as well."""
SHOWN = 3
"""Variables, at most, that are reported."""
GRID = 12
"""Parts of the frame in each direction."""
AS_WELL = 0.05
"""How much worse than its best part a larger part of the frame may separate."""


def similar(group: Sequence[Start], safe: Sequence[Start], likeness: Likeness) -> list[Start]:
    """The states of ``safe`` that are most like a group, by their mean distance from its states."""
    if not group or not safe:
        return []
    distances = distances_between(likeness, views_of(likeness, group), views_of(likeness, safe))
    order: list[int] = distances.mean(axis=0).argsort(kind="stable").tolist()
    return [safe[i] for i in order[: max(OTHERS, PER_STATE * len(group))]]


def correlates(
    group: Sequence[Start], others: Sequence[Start], variables: Sequence[Variable] | None, generator: np.random.Generator
) -> tuple[Correlate, ...]:
    """What separates a group from other states, the clearest first; nothing if there are too few states.

    Args:
        group: the states of a group.
        others: similar states without a loss.
        variables: of the environment; None if it cannot be edited.
        generator: of the exchanges.
    """
    if len(group) < LEAST or len(others) < LEAST:
        return ()
    if variables is None:
        return _of_pictures(group, others, generator)
    values = np.stack([start.variables for start in (*group, *others) if start.variables is not None])
    finite: list[int] = np.flatnonzero(np.isfinite(values).all(axis=0)).tolist()
    if not finite:
        return ()
    separations, p = separated(values[:, finite], len(group), generator)
    order: list[int] = np.argsort(-np.abs(separations - 0.5), kind="stable")[:SHOWN].tolist()
    return tuple(
        _correlate(variables[finite[v]].name, None, values[:, finite[v]], len(group), float(separations[v]))
        for v in order
        if p[v] <= LEVEL
    )


def separated(
    values: NDArray[np.floating], count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """S of each variable (v,), above 0.5 if its values are higher in the first ``count`` states, and the share of exchanges
    (v,) in which any variable separates as well.

    Args:
        values: of variables in all states (n + m, v), finite, those of the group first.
        count: n.
        generator: of the exchanges.
    """
    ranks = _ranks(values)
    own = _separations(ranks, np.arange(count))
    exchanges = (generator.permutation(len(ranks))[:count] for _ in range(EXCHANGES))
    best = np.array([np.abs(_separations(ranks, chosen) - 0.5).max() for chosen in exchanges])
    as_well = (best[:, None] >= np.abs(own - 0.5) - 1e-9).sum(axis=0)
    return own, (1 + as_well) / (1 + EXCHANGES)


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rank of each state by each variable (n + m, v); equal values have the mean of their ranks."""
    return scipy_stats().rankdata(values, axis=0)


def _separations(ranks: NDArray[np.float64], chosen: NDArray[np.int_]) -> NDArray[np.float64]:
    """S of each variable (v,) for the states ``chosen`` (n,) against the others."""
    count = len(chosen)
    return (ranks[chosen].sum(axis=0) - count * (count + 1) / 2) / (count * (len(ranks) - count))


def _correlate(name: str, box: Box | None, values: NDArray[np.floating], count: int, separation: float) -> Correlate:
    here, there = float(np.median(values[:count])), float(np.median(values[count:]))
    return Correlate(name, separation > 0.5, here, there, max(separation, 1.0 - separation), box)


def _of_pictures(group: Sequence[Start], others: Sequence[Start], generator: np.random.Generator) -> tuple[Correlate, ...]:
    """The part of the newest frame that separates best, with those around it if they separate as well together."""
    newest = np.stack([start.stack[-1] for start in (*group, *others)])
    frames: NDArray[np.float64] = newest.astype(np.float64).mean(axis=-1)
    rows, columns = _edges(frames.shape[1]), _edges(frames.shape[2])
    levels = _means(frames, rows, columns)
    separations, p = separated(levels.reshape(len(levels), -1), len(group), generator)
    place = int(np.abs(separations - 0.5).argmax())
    if p[place] > LEVEL:
        return ()
    best = float(separations[place])
    found = np.zeros(levels.shape[1:], bool)
    found.flat[place] = True
    alike = ((p <= LEVEL) & ((separations > 0.5) == (best > 0.5))).reshape(found.shape)
    for parts in (_connected(alike, found), found):
        box = _box(parts, rows, columns)
        level = frames[:, box.top : box.bottom, box.left : box.right].mean(axis=(1, 2))
        separation = float(_separations(_ranks(level[:, None]), np.arange(len(group)))[0])
        if (separation > 0.5) == (best > 0.5) and abs(separation - 0.5) >= abs(best - 0.5) - AS_WELL:
            return (_correlate("the picture", box, level, len(group), separation),)
    return ()


def _edges(size: int) -> NDArray[np.int_]:
    """Where the parts begin along one side of the frame, and where the last one ends."""
    return np.unique(np.linspace(0, size, GRID + 1).round().astype(np.int_))


def _means(frames: NDArray[np.float64], rows: NDArray[np.int_], columns: NDArray[np.int_]) -> NDArray[np.float64]:
    """The mean of each part of the frames (n, r, c)."""
    sums = np.add.reduceat(np.add.reduceat(frames, rows[:-1], axis=1), columns[:-1], axis=2)
    return sums / np.outer(np.diff(rows), np.diff(columns))


def _connected(parts: NDArray[np.bool_], start: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those of the parts (r, c) that are connected with ``start``."""
    reached, grown = start, parts & _with_neighbours(start)
    while not np.array_equal(grown, reached):
        reached, grown = grown, parts & _with_neighbours(grown)
    return reached


def _with_neighbours(parts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts (r, c), and those above, below and beside them."""
    padded = np.pad(parts, 1)
    return parts | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def _box(parts: NDArray[np.bool_], rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Box:
    """The smallest box around parts (r, c)."""
    r, c = np.flatnonzero(parts.any(axis=1)), np.flatnonzero(parts.any(axis=0))
    return Box(int(rows[r[0]]), int(rows[r[-1] + 1]), int(columns[c[0]]), int(columns[c[-1] + 1]))

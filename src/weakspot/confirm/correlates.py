"""What differs between the states of a group and states from which nothing is lost, where no cause is known.

Where the environment can be edited, these are its variables; elsewhere parts of the picture.  With values a_1, ..., a_n in
the states of the group and b_1, ..., b_m in the others, the separation is the share of pairs

    S = (#{a_i > b_j} + #{a_i = b_j} / 2) / (n m),        or 1 - S if the values of the group are lower,

which is the statistic of Mann and Whitney.  Its p-value is the share of random exchanges of the two kinds of states in which
any variable separates them as well, so that it does not depend on how many variables there are.  That something differs does
not make it a cause: states of a group are alike in many ways.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakspot.artifacts.weaknesses import Box, Correlate
from weakspot.confirm.starts import Start
from weakspot.envs.editable import Variable
from weakspot.intervals import scipy_stats

LEAST = 4
"""States of each kind, at least."""
EXCHANGES = 999
"""Random exchanges of the two kinds of states."""
LEVEL = 0.05
"""Largest p-value of what is told."""
SHOWN = 3
"""Variables, at most, that are told."""
GRID = 12
"""Parts of the picture in each direction."""


def correlates(
    group: Sequence[Start], others: Sequence[Start], variables: Sequence[Variable] | None, generator: np.random.Generator
) -> tuple[Correlate, ...]:
    """What differs most, the clearest first; nothing if there are too few states.

    Args:
        group: the states of a group.
        others: states from which nothing is lost.
        variables: of the environment; None if it cannot be edited.
        generator: of the exchanges.
    """
    if min(len(group), len(others)) < LEAST:
        return ()
    if variables is None:
        return _of_pictures(group, others, generator)
    values = np.stack([start.variables for start in (*group, *others) if start.variables is not None])
    separations, p = separated(values, len(group), generator)
    order: list[int] = np.argsort(-np.abs(separations - 0.5), kind="stable")[:SHOWN].tolist()
    found = [
        _correlate(variables[v].name, None, values[:, v], len(group), float(separations[v]), float(p[v])) for v in order
    ]
    return tuple(one for one in found if one.p <= LEVEL)


def separated(
    values: NDArray[np.floating], count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """S of each variable, above 0.5 if its values are higher in the first ``count`` states, and its p-value (v,), (v,).

    Args:
        values: of variables in all states (n + m, v), those of the group first.
        count: n.
        generator: of the exchanges.
    """
    ranks: NDArray[np.float64] = scipy_stats().rankdata(values, axis=0)
    pairs, least = count * (len(values) - count), count * (count + 1) / 2

    def separation(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return (of.sum(axis=-2) - least) / pairs

    own = separation(ranks[:count])
    best = np.array(
        [np.abs(separation(ranks[generator.permutation(len(ranks))[:count]]) - 0.5).max() for _ in range(EXCHANGES)]
    )
    as_good = (best[:, None] >= np.abs(own - 0.5) - 1e-9).sum(axis=0)
    return own, (1 + as_good) / (1 + EXCHANGES)


def _correlate(
    name: str, box: Box | None, values: NDArray[np.floating], count: int, separation: float, p: float
) -> Correlate:
    here, usual = values[:count], np.quantile(values[count:], [0.1, 0.9], method="nearest")
    return Correlate(
        name=name,
        higher=separation > 0.5,
        low=float(here.min()),
        high=float(here.max()),
        usual_low=float(usual[0]),
        usual_high=float(usual[1]),
        separation=max(separation, 1.0 - separation),
        p=p,
        box=box,
    )


def _of_pictures(group: Sequence[Start], others: Sequence[Start], generator: np.random.Generator) -> tuple[Correlate, ...]:
    """The part of the newest frame that differs most, with those next to it that differ as clearly in the same direction."""
    newest = np.stack([start.stack[-1] for start in (*group, *others)])
    frames: NDArray[np.float64] = newest.astype(np.float64).mean(axis=-1)
    rows, columns = _edges(frames.shape[1]), _edges(frames.shape[2])
    levels = _means(frames, rows, columns)
    separations, p = separated(levels.reshape(len(levels), -1), len(group), generator)
    place = int(np.abs(separations - 0.5).argmax())
    if p[place] > LEVEL:
        return ()
    alike = (p <= LEVEL) & ((separations > 0.5) == (separations[place] > 0.5))
    box = _box(alike.reshape(levels.shape[1:]), place, rows, columns)
    level = frames[:, box.top : box.bottom, box.left : box.right].mean(axis=(1, 2)).round(1)
    return (_correlate("the picture", box, level, len(group), float(separations[place]), float(p[place])),)


def _edges(size: int) -> NDArray[np.int_]:
    """Where the parts begin along one side of the picture, and where the last one ends."""
    return np.unique(np.linspace(0, size, GRID + 1).round().astype(np.int_))


def _means(frames: NDArray[np.float64], rows: NDArray[np.int_], columns: NDArray[np.int_]) -> NDArray[np.float64]:
    """The mean of each part of the frames (n, r, c)."""
    sums = np.add.reduceat(np.add.reduceat(frames, rows[:-1], axis=1), columns[:-1], axis=2)
    return sums / np.outer(np.diff(rows), np.diff(columns))


def _box(parts: NDArray[np.bool_], place: int, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Box:
    """The smallest box around the parts (r, c) that are connected with the one at ``place``."""
    reached = np.zeros_like(parts)
    reached.flat[place] = True
    grown = parts & _with_neighbours(reached)
    while not np.array_equal(grown, reached):
        reached, grown = grown, parts & _with_neighbours(grown)
    r, c = np.flatnonzero(reached.any(axis=1)), np.flatnonzero(reached.any(axis=0))
    return Box(int(rows[r[0]]), int(rows[r[-1] + 1]), int(columns[c[0]]), int(columns[c[-1] + 1]))


def _with_neighbours(parts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts (r, c), and those above, below and beside them."""
    padded = np.pad(parts, 1)
    return parts | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]

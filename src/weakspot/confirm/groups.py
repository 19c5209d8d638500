"""Groups of losing states that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from weakspot.ground.likeness import Likeness, Views

ALIKE = 0.7
"""Mean distance, in units of real states, up to which groups are joined."""


def distances(likeness: Likeness, views: Views) -> np.ndarray:
    """The mean distances between states (n, n)."""
    matrix = distances_between(likeness, views, views)
    return (matrix + matrix.T) / 2


def distances_between(likeness: Likeness, views: Views, others: Views) -> np.ndarray:
    """The mean distances of states from others (n, m), in units of the first."""
    return np.stack([likeness.distances(views.row(i), others).mean(axis=1) for i in range(len(views))])


def alike(matrix: np.ndarray) -> list[list[int]]:
    """Groups of states by average linkage of their distances (n, n), the largest first."""
    if len(matrix) < 2:
        return [[0]] * len(matrix)
    from scipy.cluster import hierarchy  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

    condensed = matrix[np.triu_indices(len(matrix), 1)]
    tree = cast(Any, hierarchy).linkage(condensed, method="average")
    labels: list[int] = cast(Any, hierarchy).fcluster(tree, ALIKE, criterion="distance").tolist()
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]))


def typical_first(group: Sequence[int], matrix: np.ndarray) -> list[int]:
    """The group with its medoid, the state closest to all others, at the start."""
    inside = matrix[np.ix_(list(group), list(group))].sum(axis=1)
    medoid = int(np.argmin(inside))
    return [group[medoid], *(index for place, index in enumerate(group) if place != medoid)]

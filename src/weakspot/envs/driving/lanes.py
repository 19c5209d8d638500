"""The lanes that cars drive on: straight lanes between intersections, and connectors across intersections.

Lanes are straight or quarter circles, so the position at any distance along a lane has a closed form.  A straight lane
leads from one intersection to the stop line of the next; a connector leads from there across the intersection to a lane that
leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from weakspot.envs.driving.town import CAR_WIDTH, Town

DIRECTIONS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
"""Unit vectors of the lane headings 0 to 3: east, north, west, south."""
STRAIGHT, RIGHT, LEFT = 0, 1, 2


@dataclass(frozen=True)
class Lanes:
    """All lanes of a town, as arrays over lane numbers; the straight lanes come first.

    Attributes:
        start: (n, 2) position of the lane's start.
        begins: (n,) heading at the start, an index into :data:`DIRECTIONS`.
        bend: (n,) ``STRAIGHT``, ``RIGHT`` or ``LEFT``.
        radius: (n,) of a turn, 0 for straight lanes.
        length: (n,) metres.
        intersection: (n, 2) the intersection that a straight lane leads to, or that a connector crosses, as indices into the
            town's columns and rows.
        centre: (n, 2) position of the centre of that intersection.
        parent: (n,) the straight lane at whose end a connector starts, -1 for straight lanes.
        successors: (n, 3) lanes that start at the lane's end, -1 if there are fewer than three.
        straight: number of lanes between intersections; all other lanes are connectors.
        stop_line: metres from the centre of an intersection to the ends of the straight lanes.
        conflicts: (n, n) bool, whether cars on the two connectors could touch; no connector conflicts with itself.
    """

    start: np.ndarray
    begins: np.ndarray
    bend: np.ndarray
    radius: np.ndarray
    length: np.ndarray
    intersection: np.ndarray
    centre: np.ndarray
    parent: np.ndarray
    successors: np.ndarray
    straight: int
    stop_line: float
    conflicts: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def pose(self, lane: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (..., 2) and unit headings (..., 2) at ``along`` metres from the start of each ``lane``."""
        start, forward, inwards, radius, curved = (column[lane] for column in self._arcs)
        angle = along / radius
        sin, cos = np.sin(angle), np.cos(angle)
        ahead, aside = np.where(curved, radius * sin, along), np.where(curved, radius * (1 - cos), 0.0)
        position = start + ahead[..., None] * forward + aside[..., None] * inwards
        heading = np.where(curved[..., None], cos[..., None] * forward + sin[..., None] * inwards, forward)
        return position, heading

    @cached_property
    def arm(self) -> np.ndarray:
        """(n,) number of the arm of the intersection that the lane comes from; equal for all lanes of the same arm."""
        return self._numbered(self.begins)

    @cached_property
    def opposite(self) -> np.ndarray:
        """(n,) the ``arm`` of the oncoming traffic of each lane."""
        return self._numbered((self.begins + 2) % 4)

    @cached_property
    def traces(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and headings (k, m, 2) at m points along each of the k connectors."""
        connectors = np.arange(self.straight, len(self))
        return self.pose(connectors[:, None], self.length[connectors][:, None] * np.linspace(0.0, 1.0, 25))

    def _numbered(self, direction: np.ndarray) -> np.ndarray:
        return np.ravel_multi_index((*self.intersection.T, direction), (*(self.intersection.max(axis=0) + 1), 4))

    @cached_property
    def _arcs(self) -> tuple[np.ndarray, ...]:
        """Of every lane: start, heading there, unit vector to the inside of the turn, radius, and whether it turns."""
        forward, curved = DIRECTIONS[self.begins], self.bend != STRAIGHT
        side = np.where(self.bend == LEFT, 1.0, -1.0)
        inwards = np.stack([-forward[:, 1], forward[:, 0]], axis=1) * side[:, None]
        return self.start, forward, inwards, np.where(curved, self.radius, 1.0), curved


def build_lanes(town: Town) -> Lanes:
    """The lanes of a town."""
    streets = _straight_lanes(town)
    table = list(streets.values())
    successors: list[list[int]] = [[] for _ in table]
    parents = [-1] * len(table)
    numbers = {key: number for number, key in enumerate(streets)}
    for (i, j, heading), number in numbers.items():
        for turn in (STRAIGHT, RIGHT, LEFT):
            leaving = (heading + {STRAIGHT: 0, RIGHT: 3, LEFT: 1}[turn]) % 4
            after = numbers.get(_next(i, j, leaving))
            if after is None:
                continue
            start, _, _, _, length, _ = table[number]
            end = start + length * DIRECTIONS[heading]
            successors[number].append(len(table))
            table.append((end, heading, turn, *_curve(town, turn), (i, j)))
            successors.append([after])
            parents.append(number)
    straight = len(streets)
    intersection = np.array([row[5] for row in table])
    lanes = Lanes(
        start=np.array([row[0] for row in table]),
        begins=np.array([row[1] for row in table]),
        bend=np.array([row[2] for row in table]),
        radius=np.array([row[3] for row in table]),
        length=np.array([row[4] for row in table]),
        intersection=intersection,
        centre=np.stack([town.columns[intersection[:, 0]], town.rows[intersection[:, 1]]], axis=1),
        parent=np.array(parents),
        successors=np.array([after + [-1] * (3 - len(after)) for after in successors]),
        straight=straight,
        stop_line=town.stop_line,
        conflicts=np.zeros((len(table), len(table)), bool),
    )
    _mark_conflicts(lanes)
    return lanes


_Row = tuple[np.ndarray, int, int, float, float, tuple[int, int]]


def _straight_lanes(town: Town) -> dict[tuple[int, int, int], _Row]:
    """The straight lanes by the intersection (i, j) that they lead to, and their heading."""
    half, stop = town.config.lane_width / 2, town.stop_line
    lanes: dict[tuple[int, int, int], _Row] = {}
    for j, y in enumerate(town.rows):
        for i in range(len(town.columns) - 1):
            west, east = town.columns[i], town.columns[i + 1]
            length = float(east - west - 2 * stop)
            lanes[(i + 1, j, 0)] = (np.array([west + stop, y - half]), 0, STRAIGHT, 0.0, length, (i + 1, j))
            lanes[(i, j, 2)] = (np.array([east - stop, y + half]), 2, STRAIGHT, 0.0, length, (i, j))
    for i, x in enumerate(town.columns):
        for j in range(len(town.rows) - 1):
            south, north = town.rows[j], town.rows[j + 1]
            length = float(north - south - 2 * stop)
            lanes[(i, j + 1, 1)] = (np.array([x + half, south + stop]), 1, STRAIGHT, 0.0, length, (i, j + 1))
            lanes[(i, j, 3)] = (np.array([x - half, north - stop]), 3, STRAIGHT, 0.0, length, (i, j))
    return lanes


def _next(i: int, j: int, heading: int) -> tuple[int, int, int]:
    """The key in :func:`_straight_lanes` of the lane that leaves intersection (i, j) with a heading."""
    east, north = DIRECTIONS[heading]
    return i + int(east), j + int(north), heading


def _curve(town: Town, turn: int) -> tuple[float, float]:
    """Radius and length of a connector."""
    half, stop = town.config.lane_width / 2, town.stop_line
    if turn == STRAIGHT:
        return 0.0, 2 * stop
    radius = stop - half if turn == RIGHT else stop + half
    return radius, radius * np.pi / 2


CLEARANCE = CAR_WIDTH + 0.3
"""Metres between the paths of two cars' centres above which the cars cannot touch."""


def _mark_conflicts(lanes: Lanes) -> None:
    """Fills in ``lanes.conflicts``."""
    connectors, positions = np.arange(lanes.straight, len(lanes)), lanes.traces[0]
    at = lanes.intersection[connectors]
    for first in range(len(connectors)):
        near = np.flatnonzero((at == at[first]).all(axis=1))
        distance = np.linalg.norm(positions[near][:, None] - positions[first][None, :, None], axis=-1).min(axis=(1, 2))
        same_start = (lanes.start[connectors[near]] == lanes.start[connectors[first]]).all(axis=1)
        touching = (distance < CLEARANCE) & ~same_start
        lanes.conflicts[connectors[first], connectors[near[touching]]] = True

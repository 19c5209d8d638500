"""The town: a grid of streets with houses, parks, trees and parked cars between them, laid out from a seed.

Streets run along x (rows) and y (columns).  They have one lane per direction, and a parking strip and a pavement on each
side; cars keep to the right.  Streets cross at intersections, which have traffic lights if at least three arms meet.  The
rectangles between the streets are blocks: houses around a yard, or a park.  All lengths are in metres.

The layout is computed with sums, products and uniform random numbers only, so a seed gives the same town on every machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import cast

import numpy as np

from weakspot.errors import ConfigError

CAR_LENGTH, CAR_WIDTH, CAR_HEIGHT = 4.5, 1.9, 1.5
SLOT = 6.5
"""Length of a parking space."""
CORNER = 14.0
"""Minimum distance of a parking space from the centre of an intersection."""
PARKING_WIDTH, PAVEMENT_WIDTH = 2.2, 3.0
CROSSING_START, CROSSING_WIDTH = 0.5, 3.0
PARK_SHARE = 0.2
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE = 50.0, 300.0


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, of Python or numpy."""
    return not isinstance(value, bool) and isinstance(value, Integral)


def is_number(value: object) -> bool:
    """Whether a value is a finite number, of Python or numpy."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def is_pair(values: object, accepts: Callable[[object], bool]) -> bool:
    """Whether ``values`` is a tuple of two values that ``accepts`` returns True for."""
    if not isinstance(values, tuple):
        return False
    pair = cast("tuple[object, ...]", values)
    return len(pair) == 2 and all(accepts(value) for value in pair)


@dataclass(frozen=True)
class TownConfig:
    """Settings of a town.

    Attributes:
        seed: of the layout.
        blocks: number of blocks from west to east and from south to north.
        block_size: smallest and largest distance between neighbouring streets.
        lane_width: of a driving lane.
        parking: fraction of the parking spaces that are taken.
        trees: fraction of the places for trees, along the pavements and in parks, that have one.

    Raises:
        ConfigError: a value is out of range.
    """

    seed: int = 0
    blocks: tuple[int, int] = (5, 5)
    block_size: tuple[float, float] = (70.0, 110.0)
    lane_width: float = 3.5
    parking: float = 0.35
    trees: float = 0.5

    def __post_init__(self) -> None:
        if not (is_pair(self.blocks, is_whole) and min(self.blocks) >= 1 and 2 <= max(self.blocks) <= 20):
            raise ConfigError(
                f"a town with blocks = {self.blocks!r}",
                expected="two whole numbers from 1 to 20, at least two blocks in total",
            )
        if not (
            is_pair(self.block_size, is_number)
            and MIN_BLOCK_SIZE <= self.block_size[0] <= self.block_size[1] <= MAX_BLOCK_SIZE
        ):
            raise ConfigError(
                f"a town with block_size = {self.block_size!r} in metres",
                expected=f"two numbers, the smaller one first, both between {MIN_BLOCK_SIZE:g} and {MAX_BLOCK_SIZE:g}",
            )
        if not (is_number(self.lane_width) and 2.5 <= self.lane_width <= 5):
            raise ConfigError(f"lanes {self.lane_width!r} metres wide", expected="2.5 to 5 metres")
        for name in ("parking", "trees"):
            fraction = getattr(self, name)
            if not (is_number(fraction) and 0 <= fraction <= 1):
                raise ConfigError(f"a town with {name} = {fraction!r}", expected="a fraction from 0 to 1")
        if not (is_whole(self.seed) and self.seed >= 0):
            raise ConfigError(f"a town with seed = {self.seed!r}", expected="a whole number, at least 0")

    @property
    def kerb(self) -> float:
        """Distance from the middle of a street to its kerb: a lane and a parking strip."""
        return self.lane_width + PARKING_WIDTH


@dataclass(frozen=True)
class Boxes:
    """Upright boxes, all of one kind.

    Attributes:
        centre: (n, 2) x and y.
        half: (n, 2) half of the length, along the box's own axis, and half of the width.
        heading: (n, 2) unit vector along that axis.
        low, high: (n,) heights of bottom and top.
        shade: (n,) brightness, 0 to 1.
    """

    centre: np.ndarray
    half: np.ndarray
    heading: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shade: np.ndarray

    def __len__(self) -> int:
        return len(self.centre)


OUTWARDS = np.array([-1.0, 1.0, 1.0, -1.0])
"""For each side of a block: 1 if the street along it is at larger coordinates than the block, else -1."""


@dataclass(frozen=True)
class Sides:
    """The four sides of every block: 0 south, 1 east, 2 north, 3 west.

    Attributes:
        street: (nx, ny, 4) coordinate of the middle of the street along the side: y for sides 0 and 2, x for the others.
        walk: (nx, ny, 4) the same for the line that people walk on.
        low, high: (nx, ny, 4) coordinates, along that street, of the centres of the intersections at its ends.
        faces_a_block: (nx, ny, 4) bool, whether there is a block on the other side of the street.
    """

    street: np.ndarray
    walk: np.ndarray
    low: np.ndarray
    high: np.ndarray
    faces_a_block: np.ndarray


@dataclass(frozen=True)
class Town:
    """The layout of a town.  :func:`build_town` makes one.

    Attributes:
        config: the settings it was built from.
        columns: (nx + 1,) x of the streets that run from south to north.
        rows: (ny + 1,) y of the streets that run from west to east.
        parks: (nx, ny) bool, which blocks are parks.
        buildings, parked: houses and parked cars.
        trees: (n, 3) x, y and height.
        light_offset: (nx + 1, ny + 1) fraction of a cycle by which the lights of each intersection are ahead.
    """

    config: TownConfig
    columns: np.ndarray
    rows: np.ndarray
    parks: np.ndarray
    buildings: Boxes
    parked: Boxes
    trees: np.ndarray
    light_offset: np.ndarray

    @property
    def kerb(self) -> float:
        """Distance from the middle of a street to its kerb."""
        return self.config.kerb

    @property
    def stop_line(self) -> float:
        """Distance from the centre of an intersection to the stop lines, which are before the pedestrian crossings."""
        return self.kerb + CROSSING_START + CROSSING_WIDTH + 1.0

    @property
    def crossing(self) -> float:
        """Distance from the centre of an intersection to the middle of the pedestrian crossings."""
        return self.kerb + CROSSING_START + CROSSING_WIDTH / 2

    @property
    def walk(self) -> float:
        """Distance from the middle of a street to the line that pedestrians walk on."""
        return self.kerb + PAVEMENT_WIDTH / 2

    @cached_property
    def sides(self) -> Sides:
        """The four sides of every block."""
        wide, high = self.parks.shape
        x, y = np.broadcast_to(self.columns[:, None], (wide + 1, high + 1)), np.broadcast_to(self.rows, (wide + 1, high + 1))
        west, east, south, north = x[:-1, :-1], x[1:, :-1], y[:-1, :-1], y[:-1, 1:]
        street = np.stack([south, east, north, west], axis=-1)
        column, row = np.indices((wide, high))
        inside = (row > 0, column < wide - 1, row < high - 1, column > 0)
        return Sides(
            street=street,
            walk=street - OUTWARDS * self.walk,
            low=np.stack([west, south, west, south], axis=-1),
            high=np.stack([east, north, east, north], axis=-1),
            faces_a_block=np.stack(inside, axis=-1),
        )

    @cached_property
    def signalled(self) -> np.ndarray:
        """(nx + 1, ny + 1) bool, which intersections have traffic lights: all but the town's four corners."""
        inner_x = np.arange(len(self.columns)) % (len(self.columns) - 1) > 0
        inner_y = np.arange(len(self.rows)) % (len(self.rows) - 1) > 0
        return inner_x[:, None] | inner_y[None, :]


def build_town(config: TownConfig) -> Town:
    """Lays out a town."""
    generator = np.random.default_rng(config.seed)
    wide, high = config.blocks
    columns, rows = _streets(generator, config, wide), _streets(generator, config, high)
    parks = generator.random((wide, high)) < PARK_SHARE
    buildings: list[_Box] = []
    trees: list[tuple[float, float, float]] = []
    for i in range(-1, wide + 1):
        for j in range(-1, high + 1):
            inside = 0 <= i < wide and 0 <= j < high
            rectangle = _lot(columns, i, config.kerb), _lot(rows, j, config.kerb)
            if not (inside and parks[i, j]):
                buildings += _houses(generator, rectangle)
            trees += _trees(generator, rectangle, config.trees, park=bool(inside and parks[i, j]))
    return Town(
        config=config,
        columns=columns,
        rows=rows,
        parks=parks,
        buildings=_boxes(buildings),
        parked=_boxes(_parked(generator, config, columns, rows)),
        trees=np.array(trees).reshape(-1, 3),
        light_offset=generator.random((wide + 1, high + 1)),
    )


def _streets(generator: np.random.Generator, config: TownConfig, blocks: int) -> np.ndarray:
    """Coordinates (blocks + 1,) of the streets of one direction."""
    gaps = np.round(generator.uniform(*config.block_size, blocks))
    return np.concatenate([[0.0], np.cumsum(gaps)])


OUTER_DEPTH = 25.0
"""Depth of the lots outside the outermost streets."""
SETBACK = 0.2
"""Distance from the pavement to the houses."""


def _lot(streets: np.ndarray, number: int, kerb: float) -> tuple[float, float]:
    """Lowest and highest coordinate of a block's lot, inside its pavement; blocks -1 and n are outside the outermost
    streets."""
    edge = kerb + PAVEMENT_WIDTH
    low = streets[number] + edge if number >= 0 else streets[0] - edge - OUTER_DEPTH
    high = streets[number + 1] - edge if number < len(streets) - 1 else streets[-1] + edge + OUTER_DEPTH
    return float(low), float(high)


_Rectangle = tuple[tuple[float, float], tuple[float, float]]
_Box = tuple[float, float, float, float, float, float, float, float, float]
"""x, y, half length, half width, cosine, sine, low, high, shade."""


def _houses(generator: np.random.Generator, lot: _Rectangle) -> list[_Box]:
    """Houses around a yard, each with its front to a street: two full rows in the south and north, and two rows between them
    in the west and east."""
    (west, east), (south, north) = lot
    depth = min(12.0, (north - south) / 2 - SETBACK, (east - west) / 2 - SETBACK)
    inner = SETBACK + depth + 1.0
    houses: list[_Box] = []
    for y in (south + SETBACK + depth / 2, north - SETBACK - depth / 2):
        for x, width, height, shade in _row(generator, west + SETBACK, east - SETBACK):
            houses.append((x, y, width / 2, depth / 2, 1.0, 0.0, 0.0, height, shade))
    for x in (west + SETBACK + depth / 2, east - SETBACK - depth / 2):
        for y, width, height, shade in _row(generator, south + inner, north - inner):
            houses.append((x, y, width / 2, depth / 2, 0.0, 1.0, 0.0, height, shade))
    return houses


def _row(generator: np.random.Generator, begin: float, end: float) -> list[tuple[float, float, float, float]]:
    """A row of houses: middle, width, height and shade of each."""
    row: list[tuple[float, float, float, float]] = []
    position = begin
    while position + 6 <= end:
        width = min(float(np.round(generator.uniform(8, 20))), end - position)
        height, shade, gap = generator.uniform(5, 22), generator.uniform(0.35, 0.85), generator.uniform(0, 3)
        if generator.random() < 0.9:
            row.append((position + width / 2, width, float(height), float(shade)))
        position += width + float(gap)
    return row


def _trees(
    generator: np.random.Generator, lot: _Rectangle, fraction: float, *, park: bool
) -> list[tuple[float, float, float]]:
    """Trees (x, y, height) along the inner edge of the pavement, in front of the houses, and everywhere in a park."""
    (west, east), (south, north) = lot
    positions = [(x, y) for x in np.arange(west + 5, east - 4, 9.0) for y in (south - 0.6, north + 0.6)]
    positions += [(x, y) for y in np.arange(south + 5, north - 4, 9.0) for x in (west - 0.6, east + 0.6)]
    if park:
        positions += [(x, y) for x in np.arange(west + 6, east - 5, 8.0) for y in np.arange(south + 6, north - 5, 8.0)]
    heights = generator.uniform(3.5, 7.0, len(positions))
    planted = generator.random(len(positions)) < fraction
    return [(float(x), float(y), float(h)) for (x, y), h, exists in zip(positions, heights, planted, strict=True) if exists]


def _parked(generator: np.random.Generator, config: TownConfig, columns: np.ndarray, rows: np.ndarray) -> list[_Box]:
    """Cars on the parking strips, in the direction of the lane next to them."""
    side = config.lane_width + PARKING_WIDTH / 2
    cars: list[_Box] = []
    for along_x, streets, crossed in ((True, rows, columns), (False, columns, rows)):
        for street in streets:
            for begin, end in itertools.pairwise(crossed):
                for direction in (1.0, -1.0):
                    for centre in slots(float(begin), float(end)):
                        if generator.random() >= config.parking:
                            continue
                        shade = float(generator.uniform(0.2, 0.9))
                        across = float(street) - direction * side if along_x else float(street) + direction * side
                        x, y = (centre, across) if along_x else (across, centre)
                        cos, sin = (direction, 0.0) if along_x else (0.0, direction)
                        cars.append((x, y, CAR_LENGTH / 2, CAR_WIDTH / 2, cos, sin, 0.0, CAR_HEIGHT, shade))
    return cars


def slots(begin: float, end: float) -> np.ndarray:
    """Centres (n,) of the parking spaces between two intersections."""
    return np.arange(begin + CORNER + SLOT / 2, end - CORNER - SLOT / 2 + 1e-9, SLOT)


def _boxes(rows: list[_Box]) -> Boxes:
    """Boxes from rows of numbers."""
    table = np.array(rows, np.float64).reshape(-1, 9)
    return Boxes(table[:, 0:2], table[:, 2:4], table[:, 4:6], table[:, 6], table[:, 7], table[:, 8])

"""The town: streets on a grid, and what stands between them, laid out from a seed.

Streets run along x (rows) and y (columns), and have one lane a direction, a parking strip and a pavement on each side; cars
keep to the right.  Where streets cross is an intersection, with traffic lights where at least three arms meet.
The rectangles between the streets are blocks: houses round a yard, or a park.  All lengths are in metres.

Only sums, products and uniform random numbers make the layout, so that a seed stands for the same town on every machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real

import numpy as np

from weakspot.errors import ConfigError

CAR_LENGTH, CAR_WIDTH, CAR_HEIGHT = 4.5, 1.9, 1.5
SLOT = 6.5
"""Length of a parking place."""
CORNER = 14.0
"""No parking place is nearer than this to the middle of an intersection."""
PARKING_WIDTH, PAVEMENT_WIDTH = 2.2, 3.0
CROSSING_START, CROSSING_WIDTH = 0.5, 3.0
PARK_SHARE = 0.2
LEAST_BLOCK, MOST_BLOCK = 50.0, 300.0


def is_whole(value: object) -> bool:
    """Whether something is a whole number, of Python's or numpy's."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether something is a finite number, of Python's or numpy's."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def are_two(values: object, kind: Callable[[object], bool]) -> bool:
    """Whether something is a pair of such values."""
    return isinstance(values, tuple) and len(values) == 2 and all(kind(value) for value in values)


@dataclass(frozen=True)
class TownConfig:
    """What a town is made from.

    Attributes:
        seed: of the layout.
        blocks: number of blocks from west to east and from south to north.
        block_size: least and largest distance between neighbouring streets.
        lane_width: of a driving lane.
        parking: share of the parking places that are taken.
        trees: share of the places for trees beside the pavements that have one.

    Raises:
        ConfigError: no town can be built so.
    """

    seed: int = 0
    blocks: tuple[int, int] = (5, 5)
    block_size: tuple[float, float] = (70.0, 110.0)
    lane_width: float = 3.5
    parking: float = 0.35
    trees: float = 0.5

    def __post_init__(self) -> None:
        if not (are_two(self.blocks, is_whole) and min(self.blocks) >= 1 and 2 <= max(self.blocks) <= 20):
            raise ConfigError(
                f"a town with blocks = {self.blocks!r}",
                expected="two whole numbers from 1 to 20, at least two blocks in all",
            )
        if not (
            are_two(self.block_size, is_number) and LEAST_BLOCK <= self.block_size[0] <= self.block_size[1] <= MOST_BLOCK
        ):
            raise ConfigError(
                f"a town with block_size = {self.block_size!r} in metres",
                expected=f"two numbers, the least first, both between {LEAST_BLOCK:g} and {MOST_BLOCK:g}",
            )
        if not (is_number(self.lane_width) and 2.5 <= self.lane_width <= 5):
            raise ConfigError(f"lanes {self.lane_width!r} metres wide", expected="2.5 to 5 metres")
        for name in ("parking", "trees"):
            share = getattr(self, name)
            if not (is_number(share) and 0 <= share <= 1):
                raise ConfigError(f"a town with {name} = {share!r}", expected="a share from 0 to 1")
        if not (is_whole(self.seed) and self.seed >= 0):
            raise ConfigError(f"a town with seed = {self.seed!r}", expected="a whole number from 0 up")

    @property
    def kerb(self) -> float:
        """From the middle of a street to its kerb: a lane and a parking strip."""
        return self.lane_width + PARKING_WIDTH


@dataclass(frozen=True)
class Boxes:
    """Upright boxes, all of one kind.

    Attributes:
        centre: (n, 2), x and y.
        half: (n, 2), half the length along the box's own axis and half the width.
        heading: (n,) cosine and sine of that axis, (n, 2).
        low, high: (n,) heights of bottom and top.
        shade: (n,) how bright, 0 to 1.
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
"""Of each side of a block: 1 where the street beside it lies towards larger coordinates."""


@dataclass(frozen=True)
class Sides:
    """The four sides of every block: 0 south, 1 east, 2 north, 3 west.

    Attributes:
        street: (nx, ny, 4) where the middle of the street beside it is, y for sides 0 and 2, x for the others.
        walk: the same of the line that people walk on.
        low, high: the middles of the intersections at both ends of that street, in its own direction.
        faces_a_block: bool, whether there is a block over the street.
    """

    street: np.ndarray
    walk: np.ndarray
    low: np.ndarray
    high: np.ndarray
    faces_a_block: np.ndarray


@dataclass(frozen=True)
class Town:
    """A laid out town.  :func:`build_town` makes one.

    Attributes:
        config: what it was made from.
        columns: (nx + 1,) x of the streets that run from south to north.
        rows: (ny + 1,) y of the streets that run from west to east.
        parks: (nx, ny) bool, blocks that are parks.
        buildings, parked: boxes.
        trees: (n, 3) x, y and height.
        light_offset: (nx + 1, ny + 1) share of a round by which the lights of each intersection are ahead.
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
        """From the middle of a street to its kerb."""
        return self.config.kerb

    @property
    def stop_line(self) -> float:
        """From the middle of an intersection to where cars stop, behind the crossing for pedestrians."""
        return self.kerb + CROSSING_START + CROSSING_WIDTH + 1.0

    @property
    def crossing(self) -> float:
        """From the middle of an intersection to the middle of the crossings for pedestrians."""
        return self.kerb + CROSSING_START + CROSSING_WIDTH / 2

    @property
    def walk(self) -> float:
        """From the middle of a street to where pedestrians walk."""
        return self.kerb + PAVEMENT_WIDTH / 2

    @cached_property
    def sides(self) -> Sides:
        """What lies beside the four sides of every block."""
        wide, high = self.parks.shape
        x, y = np.broadcast_to(self.columns[:, None], (wide + 1, high + 1)), np.broadcast_to(self.rows, (wide + 1, high + 1))
        west, east, south, north = x[:-1, :-1], x[1:, :-1], y[:-1, :-1], y[:-1, 1:]
        street = np.stack([south, east, north, west], axis=-1)
        block = np.stack(np.meshgrid(np.arange(wide), np.arange(high), indexing="ij"), axis=-1)
        inside = (block[:, :, 1] > 0, block[:, :, 0] < wide - 1, block[:, :, 1] < high - 1, block[:, :, 0] > 0)
        return Sides(
            street=street,
            walk=street - OUTWARDS * self.walk,
            low=np.stack([west, south, west, south], axis=-1),
            high=np.stack([east, north, east, north], axis=-1),
            faces_a_block=np.stack(inside, axis=-1),
        )

    @cached_property
    def signalled(self) -> np.ndarray:
        """(nx + 1, ny + 1) bool, the intersections with traffic lights: all but the town's four corners."""
        inner_x = np.arange(len(self.columns)) % (len(self.columns) - 1) > 0
        inner_y = np.arange(len(self.rows)) % (len(self.rows) - 1) > 0
        return inner_x[:, None] | inner_y[None, :]


def build_town(config: TownConfig) -> Town:
    """The town of a seed and settings."""
    generator = np.random.default_rng(config.seed)
    wide, high = config.blocks
    columns, rows = _streets(generator, config, wide), _streets(generator, config, high)
    parks = generator.random((wide, high)) < PARK_SHARE
    buildings, trees = [], []
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
    gaps = np.round(generator.uniform(*config.block_size, blocks))
    return np.concatenate([[0.0], np.cumsum(gaps)])


OUTSIDE = 25.0
"""Depth of the lots beyond the outermost streets."""
SETBACK = 0.2
"""From the pavement to the houses."""


def _lot(streets: np.ndarray, number: int, kerb: float) -> tuple[float, float]:
    """Where a block's lot begins and ends, inside its pavement; blocks -1 and n lie beyond the outermost streets."""
    edge = kerb + PAVEMENT_WIDTH
    low = streets[number] + edge if number >= 0 else streets[0] - edge - OUTSIDE
    high = streets[number + 1] - edge if number < len(streets) - 1 else streets[-1] + edge + OUTSIDE
    return float(low), float(high)


_Rectangle = tuple[tuple[float, float], tuple[float, float]]
_Box = tuple[float, float, float, float, float, float, float, float, float]
"""x, y, half length, half width, cosine, sine, low, high, shade."""


def _houses(generator: np.random.Generator, lot: _Rectangle) -> list[_Box]:
    """Houses round a yard, each with its front on a street: along the whole south and north, and between these along the
    west and east."""
    (west, east), (south, north) = lot
    depth = min(12.0, (north - south) / 2 - SETBACK, (east - west) / 2 - SETBACK)
    inner = SETBACK + depth + 1.0
    houses = []
    for y in (south + SETBACK + depth / 2, north - SETBACK - depth / 2):
        for x, width, height, shade in _row(generator, west + SETBACK, east - SETBACK):
            houses.append((x, y, width / 2, depth / 2, 1.0, 0.0, 0.0, height, shade))
    for x in (west + SETBACK + depth / 2, east - SETBACK - depth / 2):
        for y, width, height, shade in _row(generator, south + inner, north - inner):
            houses.append((x, y, width / 2, depth / 2, 0.0, 1.0, 0.0, height, shade))
    return houses


def _row(generator: np.random.Generator, begin: float, end: float) -> list[tuple[float, float, float, float]]:
    """A row of houses: middle, width, height and shade of each."""
    row, at = [], begin
    while at + 6 <= end:
        width = min(float(np.round(generator.uniform(8, 20))), end - at)
        height, shade, gap = generator.uniform(5, 22), generator.uniform(0.35, 0.85), generator.uniform(0, 3)
        if generator.random() < 0.9:
            row.append((at + width / 2, width, float(height), float(shade)))
        at += width + float(gap)
    return row


def _trees(generator: np.random.Generator, lot: _Rectangle, share: float, *, park: bool) -> list[tuple[float, float, float]]:
    """Trees along the inner edge of the pavement, where the houses leave room, and all over a park."""
    (west, east), (south, north) = lot
    places = [(x, y) for x in np.arange(west + 5, east - 4, 9.0) for y in (south - 0.6, north + 0.6)]
    places += [(x, y) for y in np.arange(south + 5, north - 4, 9.0) for x in (west - 0.6, east + 0.6)]
    if park:
        places += [(x, y) for x in np.arange(west + 6, east - 5, 8.0) for y in np.arange(south + 6, north - 5, 8.0)]
    heights = generator.uniform(3.5, 7.0, len(places))
    stands = generator.random(len(places)) < share
    return [(float(x), float(y), float(h)) for (x, y), h, there in zip(places, heights, stands, strict=True) if there]


def _parked(generator: np.random.Generator, config: TownConfig, columns: np.ndarray, rows: np.ndarray) -> list[_Box]:
    """Cars on the parking strips, in the direction of the lane beside them."""
    side = config.lane_width + PARKING_WIDTH / 2
    cars: list[_Box] = []
    for along_x, streets, crossed in ((True, rows, columns), (False, columns, rows)):
        for street in streets:
            for begin, end in itertools.pairwise(crossed):
                for direction in (1.0, -1.0):
                    for place in slots(float(begin), float(end)):
                        if generator.random() >= config.parking:
                            continue
                        shade = float(generator.uniform(0.2, 0.9))
                        across = float(street) - direction * side if along_x else float(street) + direction * side
                        x, y = (place, across) if along_x else (across, place)
                        cos, sin = (direction, 0.0) if along_x else (0.0, direction)
                        cars.append((x, y, CAR_LENGTH / 2, CAR_WIDTH / 2, cos, sin, 0.0, CAR_HEIGHT, shade))
    return cars


def slots(begin: float, end: float) -> np.ndarray:
    """Middles of the parking places between two intersections."""
    return np.arange(begin + CORNER + SLOT / 2, end - CORNER - SLOT / 2 + 1e-9, SLOT)


def _boxes(rows: list[_Box]) -> Boxes:
    table = np.array(rows, np.float64).reshape(-1, 9)
    return Boxes(table[:, 0:2], table[:, 2:4], table[:, 4:6], table[:, 6], table[:, 7], table[:, 8])

"""The world as triangles: those of the town, built once, and those of cars and people, built again for every image."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from weakspot.envs.driving import pedestrians
from weakspot.envs.driving.classes import SemanticClass
from weakspot.envs.driving.pedestrians import BODY_HEIGHT
from weakspot.envs.driving.signals import ALONG_X, ALONG_Y
from weakspot.envs.driving.town import (
    CAR_HEIGHT,
    CAR_LENGTH,
    CAR_WIDTH,
    CROSSING_START,
    CROSSING_WIDTH,
    OUTER_DEPTH,
    PAVEMENT_WIDTH,
    Boxes,
    Town,
)
from weakspot.envs.driving.world import TRUNK_RADIUS, World

MARKING_HEIGHT, PAVEMENT_HEIGHT = 0.02, 0.15
LINE_WIDTH = 0.2
WINDOW_SIZE, WINDOW_EVERY = (1.2, 1.5), (2.4, 3.0)
"""Width and height of a window, and distance from one window to the next, horizontally and vertically."""
LIGHT_SIZE, LIGHT_LOW = (1.6, 2.6), 3.4
"""Width and height of a traffic light, and height of its lower edge, in metres; large enough to be visible in small
images."""
LIGHT_DEPTH, LIGHT_RIM = 0.15, 0.1
"""Half of the depth of the housing, and width of its rim around the light, in metres."""


BOX = np.array(
    [[0, 1, 5], [0, 5, 4], [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7], [4, 5, 6], [4, 6, 7]]
)
"""Triangles of a box without its bottom, as indices of corners: counter-clockwise at the bottom, then at the top."""
FACES = len(BOX)
PHONE_BEND = 0.18
"""Metres by which the head of a person who looks at a phone is bent forwards."""


@dataclass(frozen=True)
class Mesh:
    """Triangles with a class and a brightness each.

    Attributes:
        corners: (n, 3, 3) float32, n triangles of three points.
        classes: (n,) uint8, numbers of :class:`SemanticClass`.
        shade: (n,) float32, brightness of the surface, 0 to 1.
        light: (n,) int32, the traffic light that a triangle belongs to, as a flat index into the lights (2, nx + 1, ny + 1),
            or -1; the class of such triangles is that of the light's colour.
    """

    corners: np.ndarray
    classes: np.ndarray
    shade: np.ndarray
    light: np.ndarray

    def __len__(self) -> int:
        return len(self.corners)


def moving_mesh(world: World, cars_seen: np.ndarray, people_seen: np.ndarray) -> Mesh:
    """The other cars and the people of a world with these numbers."""
    positions, headings = world.cars()
    seen = world.state.people.select(people_seen)
    return concat_meshes(
        [
            cars(positions[cars_seen], headings[cars_seen], world.state.traffic.shade[cars_seen]),
            people(
                world.pedestrian_positions()[people_seen],
                pedestrians.facing(seen),
                seen.distracted,
                pedestrians.on_street(world.town, seen),
            ),
        ]
    )


def own_car(world: World) -> Mesh:
    """The agent's car."""
    car = world.state.car
    return cars(np.array([car.middle]), np.array([car.direction]), np.ones(1))


def concat_meshes(meshes: list[Mesh]) -> Mesh:
    """Concatenates meshes."""
    return Mesh(
        np.concatenate([mesh.corners for mesh in meshes]),
        np.concatenate([mesh.classes for mesh in meshes]),
        np.concatenate([mesh.shade for mesh in meshes]),
        np.concatenate([mesh.light for mesh in meshes]),
    )


def town_mesh(town: Town) -> Mesh:
    """Everything in the town that does not move."""
    west, east = town.columns[0] - _outskirts(town), town.columns[-1] + _outskirts(town)
    south, north = town.rows[0] - _outskirts(town), town.rows[-1] + _outskirts(town)
    parts = [
        plates(np.array([[west, east, south, north]]), -0.02, SemanticClass.VEGETATION, 0.45),
        plates(_streets(town), 0.0, SemanticClass.ROAD, 0.35),
        plates(_markings(town), MARKING_HEIGHT, SemanticClass.MARKING, 0.9),
        _blocks(town),
        solid(town.buildings, SemanticClass.BUILDING),
        _windows(town.buildings),
        cars(town.parked.centre, town.parked.heading, town.parked.shade),
        _trees(town),
        _lights(town),
    ]
    return concat_meshes(parts)


def cars(positions: np.ndarray, headings: np.ndarray, shade: np.ndarray) -> Mesh:
    """Cars at positions (n, 2) with unit headings (n, 2) and brightness ``shade`` (n,)."""
    return _copies(CAR, positions, headings, shade)


def people(positions: np.ndarray, headings: np.ndarray, on_phone: np.ndarray, on_street: np.ndarray) -> Mesh:
    """People at positions (n, 2) with unit headings (n, 2), on the street or on pavements; those who look at a phone bend
    their heads forwards."""
    mesh = _copies(PERSON, positions, headings, np.ones(len(positions)))
    bodies = mesh.corners.reshape(len(positions), len(PERSON), 3, 3)
    bodies[~on_street, ..., 2] += np.float32(PAVEMENT_HEIGHT)
    bodies[on_phone, -FACES:, :, :2] += (PHONE_BEND * headings[on_phone]).astype(np.float32)[:, None, None]
    return mesh


def _copies(mesh: Mesh, positions: np.ndarray, headings: np.ndarray, shade: np.ndarray) -> Mesh:
    """Copies of a mesh, which is centred at the origin and faces along x, at positions (n, 2) with unit headings (n, 2)."""
    n, forward = len(positions), headings.astype(np.float32)
    x, y, z = (mesh.corners[..., axis] for axis in range(3))
    cos, sin = forward[:, 0, None, None], forward[:, 1, None, None]
    at = positions.astype(np.float32)
    corners = np.empty((n, len(mesh), 3, 3), np.float32)
    corners[..., 0] = x * cos - y * sin + at[:, 0, None, None]
    corners[..., 1] = x * sin + y * cos + at[:, 1, None, None]
    corners[..., 2] = z
    return Mesh(
        corners.reshape(-1, 3, 3),
        np.tile(mesh.classes, n),
        (mesh.shade * shade[:, None]).astype(np.float32).ravel(),
        np.tile(mesh.light, n),
    )


def solid(boxes: Boxes, semantic_class: SemanticClass) -> Mesh:
    """Upright boxes, without their bottoms."""
    n = len(boxes)
    ahead = boxes.heading * boxes.half[:, :1]
    left = np.stack([-boxes.heading[:, 1], boxes.heading[:, 0]], axis=1) * boxes.half[:, 1:]
    ground = np.stack([boxes.centre + a * ahead + b * left for a, b in ((1, -1), (1, 1), (-1, 1), (-1, -1))], axis=1)
    points = np.empty((n, 8, 3), np.float32)
    points[:, :4, :2], points[:, 4:, :2] = ground, ground
    points[:, :4, 2], points[:, 4:, 2] = boxes.low[:, None], boxes.high[:, None]
    return _mesh(points[:, BOX].reshape(-1, 3, 3), semantic_class, np.repeat(boxes.shade, FACES))


def plates(rectangles: np.ndarray, height: float, semantic_class: SemanticClass, shade: float) -> Mesh:
    """Horizontal rectangles (n, 4), given by west, east, south and north, that face up."""
    west, east, south, north = rectangles.T
    corners = np.stack([np.stack(pair, axis=1) for pair in ((west, south), (east, south), (east, north), (west, north))], 1)
    points = np.full((len(rectangles), 4, 3), height, np.float32)
    points[:, :, :2] = corners
    return _mesh(points[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 3), semantic_class, np.full(2 * len(rectangles), shade))


def _mesh(corners: np.ndarray, semantic_class: SemanticClass, shade: np.ndarray) -> Mesh:
    """Triangles (n, 3, 3) of one class."""
    n = len(corners)
    return Mesh(
        np.ascontiguousarray(corners, np.float32),
        np.full(n, int(semantic_class), np.uint8),
        np.asarray(shade, np.float32),
        np.full(n, -1, np.int32),
    )


def _outskirts(town: Town) -> float:
    """Distance from the outermost streets to the edge of the town."""
    return town.kerb + PAVEMENT_WIDTH + OUTER_DEPTH


def _streets(town: Town) -> np.ndarray:
    """The streets as rectangles that do not overlap."""
    ends_x = town.columns[0] - town.kerb, town.columns[-1] + town.kerb
    along_x = [(*ends_x, y - town.kerb, y + town.kerb) for y in town.rows]
    spans = zip(town.rows[:-1] + town.kerb, town.rows[1:] - town.kerb, strict=True)
    along_y = [(x - town.kerb, x + town.kerb, *span) for span in spans for x in town.columns]
    return np.array(along_x + along_y)


def _blocks(town: Town) -> Mesh:
    """Pavements with their kerbs, and the lots inside them."""
    wide, high = town.parks.shape
    raised: list[tuple[float, float, float, float]] = []
    lots: list[tuple[float, float, float, float]] = []
    for i in range(-1, wide + 1):
        for j in range(-1, high + 1):
            west, east = _span(town.columns, i, town)
            south, north = _span(town.rows, j, town)
            raised.append((west, east, south, north))
            if 0 <= i < wide and 0 <= j < high:
                lots.append((west + PAVEMENT_WIDTH, east - PAVEMENT_WIDTH, south + PAVEMENT_WIDTH, north - PAVEMENT_WIDTH))
    table = np.array(raised)
    n = len(table)
    boxes = Boxes(
        np.stack([table[:, :2].mean(axis=1), table[:, 2:].mean(axis=1)], axis=1),
        np.stack([np.ptp(table[:, :2], axis=1) / 2, np.ptp(table[:, 2:], axis=1) / 2], axis=1),
        np.tile([1.0, 0.0], (n, 1)),
        np.zeros(n),
        np.full(n, PAVEMENT_HEIGHT),
        np.full(n, 0.6),
    )
    return concat_meshes(
        [
            solid(boxes, SemanticClass.PAVEMENT),
            plates(np.array(lots), PAVEMENT_HEIGHT + 0.02, SemanticClass.VEGETATION, 0.45),
        ]
    )


def _span(streets: np.ndarray, number: int, town: Town) -> tuple[float, float]:
    """Lowest and highest coordinate of a block, including its pavement."""
    low = streets[number] + town.kerb if number >= 0 else streets[0] - _outskirts(town)
    high = streets[number + 1] - town.kerb if number < len(streets) - 1 else streets[-1] + _outskirts(town)
    return low, high


def _markings(town: Town) -> np.ndarray:
    """Dashed middle lines, stop lines, and the stripes of the pedestrian crossings, as rectangles."""
    marks: list[tuple[float, float, float, float]] = []
    half, lane, stop = LINE_WIDTH / 2, town.config.lane_width, town.stop_line

    def mark(along_x: bool, u: tuple[float, float], w: tuple[float, float]) -> None:
        marks.append((*u, *w) if along_x else (*w, *u))

    for along_x, streets, crossed in ((True, town.rows, town.columns), (False, town.columns, town.rows)):
        for number, street in enumerate(streets):
            for first, (begin, end) in enumerate(itertools.pairwise(crossed)):
                for at in np.arange(begin + stop + 1, end - stop - 2, 6.0):
                    mark(along_x, (at, at + 3.0), (street - half, street + half))
                for index, inwards in ((first, 1.0), (first + 1, -1.0)):
                    at = (index, number) if along_x else (number, index)
                    if not town.signalled[at]:
                        continue
                    corner = float(crossed[index])
                    side = inwards if along_x else -inwards  # side of the street with the lane towards the intersection
                    line = corner + inwards * stop, corner + inwards * (stop + 0.5)
                    mark(
                        along_x,
                        (min(line), max(line)),
                        (min(street, street + side * lane), max(street, street + side * lane)),
                    )
                    inner = number not in (0, len(streets) - 1)
                    if inner:  # there are crossings only if there is a block on each side
                        zebra = corner + inwards * (town.kerb + CROSSING_START)
                        far = zebra + inwards * CROSSING_WIDTH
                        for w in np.arange(-town.kerb + 0.4, town.kerb - 0.4, 1.2):
                            mark(along_x, (min(zebra, far), max(zebra, far)), (street + w, street + w + 0.6))
    return np.array(marks)


def _windows(houses: Boxes) -> Mesh:
    """Windows on all four sides of all houses, slightly in front of the walls."""
    parts: list[np.ndarray] = []
    for middle, half, ahead, top in zip(houses.centre, houses.half, houses.heading, houses.high, strict=True):
        left = np.array([-ahead[1], ahead[0]])
        for out, along, reach, wide in (
            (ahead, left, half[0], half[1]),
            (-ahead, -left, half[0], half[1]),
            (left, -ahead, half[1], half[0]),
            (-left, ahead, half[1], half[0]),
        ):
            columns, floors = int((2 * wide - 1) / WINDOW_EVERY[0]), int((top - 0.5) / WINDOW_EVERY[1])
            across = (np.arange(columns) - (columns - 1) / 2) * WINDOW_EVERY[0]
            sill = 1.0 + np.arange(floors) * WINDOW_EVERY[1]
            grid = np.stack(np.meshgrid(across, sill, indexing="ij"), axis=-1).reshape(-1, 1, 2)
            corners = grid + np.array([(-1, 0), (1, 0), (1, 1), (-1, 1)]) * (WINDOW_SIZE[0] / 2, WINDOW_SIZE[1])
            positions = middle + (reach + 0.03) * out + corners[..., :1] * along
            parts.append(np.concatenate([positions, corners[..., 1:]], axis=-1))
    points = np.concatenate(parts).astype(np.float32)
    return _mesh(points[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 3), SemanticClass.BUILDING, np.full(2 * len(points), 0.3))


def _trees(town: Town) -> Mesh:
    """Trees: a trunk, and a crown of two pyramids."""
    n = len(town.trees)
    centre, height = town.trees[:, :2], town.trees[:, 2]
    axis = np.tile([1.0, 0.0], (n, 1))
    trunk = Boxes(centre, np.full((n, 2), TRUNK_RADIUS), axis, np.zeros(n), height * 0.45, np.full(n, 0.25))
    width, middle, low = 0.28 * height, 0.6 * height, 0.35 * height
    ring = np.array([[1, 0], [0.5, 0.87], [-0.5, 0.87], [-1, 0], [-0.5, -0.87], [0.5, -0.87]])
    around = np.concatenate([centre[:, None] + width[:, None, None] * ring, _column(middle, 6)], axis=2)
    ends = [np.concatenate([centre, end[:, None]], axis=1) for end in (low, height)]
    after = np.roll(around, -1, axis=1)
    low_end, top = (np.broadcast_to(end[:, None], around.shape) for end in ends)
    faces = [np.stack([after, around, low_end], axis=2), np.stack([around, after, top], axis=2)]
    crown = np.concatenate(faces, axis=1).reshape(-1, 3, 3)
    shade = np.tile(np.repeat([0.3, 0.5], 6), n)
    return concat_meshes([solid(trunk, SemanticClass.VEGETATION), _mesh(crown, SemanticClass.VEGETATION, shade)])


def _column(values: np.ndarray, copies: int) -> np.ndarray:
    return np.tile(values[:, None, None], (1, copies, 1))


def _lights(town: Town) -> Mesh:
    """Traffic lights, one for each arm, and their poles.

    A light hangs above the middle of the intersection, on the right side of the street; its sides and back are dark.  The
    poles stand at the corners of the intersection; the wires between them are too thin to be drawn.
    """
    right_of_middle = town.config.lane_width / 2
    positions: list[np.ndarray] = []
    headings: list[tuple[int, int]] = []
    numbers: list[np.intp] = []
    corners: list[np.ndarray] = []
    signalled: list[list[int]] = np.argwhere(town.signalled).tolist()
    for i, j in signalled:
        middle = np.array([town.columns[i], town.rows[j]])
        arms = (
            (i > 0, (1, 0)),
            (i + 1 < len(town.columns), (-1, 0)),
            (j > 0, (0, 1)),
            (j + 1 < len(town.rows), (0, -1)),
        )
        for exists, (east, north) in arms:
            if not exists:
                continue
            positions.append(middle + right_of_middle * np.array([north, -east], np.float64))
            headings.append((east, north))
            numbers.append(np.ravel_multi_index((ALONG_X if east else ALONG_Y, i, j), (2, *town.signalled.shape)))
        corners += [middle + (town.kerb + 0.4) * np.array(corner) for corner in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    ahead = np.array(headings, np.float64).reshape(-1, 2)
    n, at = len(ahead), np.array(positions).reshape(-1, 2)
    top = LIGHT_LOW + LIGHT_SIZE[1] + LIGHT_RIM
    housings = Boxes(
        at,
        np.tile([LIGHT_DEPTH, LIGHT_SIZE[0] / 2 + LIGHT_RIM], (n, 1)),
        ahead,
        np.full(n, LIGHT_LOW - LIGHT_RIM),
        np.full(n, top),
        np.full(n, 0.2),
    )
    pole_positions = np.array(corners).reshape(-1, 2)
    poles = Boxes(
        pole_positions,
        np.full((len(pole_positions), 2), 0.1),
        np.tile([1.0, 0.0], (len(pole_positions), 1)),
        np.zeros(len(pole_positions)),
        np.full(len(pole_positions), top),
        np.full(len(pole_positions), 0.2),
    )
    dark = [solid(boxes, SemanticClass.BUILDING) for boxes in (housings, poles)]
    return concat_meshes([_lamps(at - (LIGHT_DEPTH + 0.02) * ahead, ahead, np.array(numbers, np.int32)), *dark])


def _lamps(positions: np.ndarray, ahead: np.ndarray, numbers: np.ndarray) -> Mesh:
    """The lit faces of traffic lights: upright rectangles at ``positions`` (n, 2) that face traffic driving ``ahead``."""
    right = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1)
    points = np.empty((len(positions), 4, 3), np.float32)
    for corner, (side, height) in enumerate(((-0.5, 0.0), (0.5, 0.0), (0.5, 1.0), (-0.5, 1.0))):
        points[:, corner, :2] = positions + side * LIGHT_SIZE[0] * right
        points[:, corner, 2] = LIGHT_LOW + height * LIGHT_SIZE[1]
    triangles = points[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 3)
    lamps = _mesh(triangles, SemanticClass.RED_LIGHT, np.full(len(triangles), 0.95))
    return Mesh(lamps.corners, lamps.classes, lamps.shade, np.repeat(numbers, 2))


def _upright(
    half: tuple[float, float], low: float, high: float, shade: float, semantic_class: SemanticClass, ahead: float = 0.0
) -> Mesh:
    """One box along x, its centre ``ahead`` metres from the origin."""
    box = Boxes(*(np.array([value], np.float64) for value in ((ahead, 0.0), half, (1.0, 0.0), low, high, shade)))
    return solid(box, semantic_class)


CAR = concat_meshes(
    [
        _upright((CAR_LENGTH / 2, CAR_WIDTH / 2), 0.0, 0.9, 1.0, SemanticClass.CAR),
        _upright((CAR_LENGTH / 4, CAR_WIDTH / 2 - 0.15), 0.9, CAR_HEIGHT, 0.5, SemanticClass.CAR, ahead=-0.25),
    ]
)
"""A body and a cabin."""
PERSON = concat_meshes(
    [
        _upright((0.28, 0.22), 0.0, 0.85, 0.3, SemanticClass.PEDESTRIAN),
        _upright((0.25, 0.28), 0.85, 1.45, 0.75, SemanticClass.PEDESTRIAN),
        _upright((0.13, 0.12), 1.45, BODY_HEIGHT, 0.6, SemanticClass.PEDESTRIAN),
    ]
)
"""Legs in mid-stride, a body and a head, in this order; wide enough to be hit by a ray at 20 metres."""

"""The world: a town, its traffic, its people and the agent's car, without a pixel.

A decision lasts 0.1 seconds.  What happens in one: the agent's car moves by the bicycle model, the other cars and the
pedestrians move, then it is looked whether the episode ends, and why.  All that changes stands in :class:`WorldState` and
one random generator, so that a stored world goes on bit for bit.  Positions are rounded to multiples of 2^-20 m after each
step, so that machines whose sines differ in the last bit do not drift apart.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from weakspot.envs.driving import pedestrians, signals, traffic
from weakspot.envs.driving.bicycle import GRID, REAR_TO_CENTRE, Car, drive
from weakspot.envs.driving.lanes import Lanes, build_lanes
from weakspot.envs.driving.overlap import box_hits_boxes, box_hits_posts
from weakspot.envs.driving.pedestrians import REASONABLE, Behaviour, Pedestrians, Vehicles
from weakspot.envs.driving.town import CAR_LENGTH, CAR_WIDTH, Town, TownConfig, build_town, is_number, is_whole
from weakspot.envs.driving.traffic import Obstacles, Stranger, Traffic
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError

SECONDS = 0.1
"""A decision lasts so long."""
STATE_VERSION = 3
"""Of the rules of the town, and so of what a stored state goes on to."""
HALF = np.array([CAR_LENGTH / 2, CAR_WIDTH / 2])
OUTLINE = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)], np.float64)
"""Points of a car, in halves of its length and width."""
TRUNK_RADIUS = 0.25
OFF_ROAD = 1.0
"""Metres beyond the kerb that the middle of the car may be."""
TOUCHING = 2 * pedestrians.REACH
"""Metres between the middles of two cars beyond which they cannot touch; no more can a car and a person, or a tree."""
CAUSES = ("pedestrian", "car", "building", "tree", "off_road", "red_light")
"""What ends an episode, the gravest first."""


ROOM_FOR_EACH = 4
"""Places that a town has for each car that moves in it."""
MOST_PEOPLE = 5_000


@dataclass(frozen=True)
class WorldConfig:
    """What a world is made from.

    Attributes:
        town: its streets and houses.
        cars: moving cars beside the agent's.
        people: pedestrians.
        behaviour: of the pedestrians.

    Raises:
        ConfigError: a number is none from 0 up, or there is no room for so many cars.
    """

    town: TownConfig = field(default_factory=TownConfig)
    cars: int = 30
    people: int = 200
    behaviour: Behaviour = REASONABLE

    def __post_init__(self) -> None:
        if not (isinstance(self.town, TownConfig) and isinstance(self.behaviour, Behaviour)):
            raise ConfigError(
                f"a world with town = {self.town!r}, behaviour = {self.behaviour!r}", expected="a TownConfig and a Behaviour"
            )
        if not (is_whole(self.cars) and is_whole(self.people) and self.cars >= 0 and 0 <= self.people <= MOST_PEOPLE):
            raise ConfigError(
                f"a world with cars = {self.cars!r}, people = {self.people!r}",
                expected=f"whole numbers from 0 up, at most {MOST_PEOPLE:,} people",
            )
        room = len(traffic.places_on(layout(self.town)[1])[0]) // ROOM_FOR_EACH
        if self.cars > room:
            raise ConfigError(
                f"{self.cars} cars in a town of {self.town.blocks[0]} by {self.town.blocks[1]} blocks",
                expected=f"at most {room}, so that they can move",
                todo="take fewer cars, or more or larger blocks",
            )


@lru_cache(maxsize=8)
def layout(config: TownConfig) -> tuple[Town, Lanes]:
    """A town and its lanes, made once for all worlds in it."""
    town = build_town(config)
    return town, build_lanes(town)


@dataclass(frozen=True)
class WorldState:
    """Everything that changes.

    Attributes:
        decisions: since the episode began.
        started: decisions before that since the traffic lights began their first round.
        car: the agent's.
        traffic, people: the others.
    """

    decisions: int
    started: int
    car: Car
    traffic: Traffic
    people: Pedestrians

    @property
    def seconds(self) -> float:
        """By the clock of the traffic lights."""
        return (self.started + self.decisions) * SECONDS


@dataclass(frozen=True)
class Outcome:
    """What a decision led to.

    Attributes:
        cause: one of :data:`CAUSES` where the episode ends, or None.
        along: metres driven in the direction of the lane; below 0 on the wrong side of the street, 0 on intersections.
        way: metres driven.
    """

    cause: str | None
    along: float
    way: float


class World:
    """A world that goes on from state to state.

    Args:
        config: what it is made from.

    Attributes:
        config: the same.
        town, lanes: what does not change.
        state: what does.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.town, self.lanes = layout(config.town)
        self.state: WorldState
        self._shown: WorldState | None = None
        self._generator = np.random.default_rng(0)
        self._settings = plain({"world": asdict(config), "version": STATE_VERSION})
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Puts everybody somewhere, by a seed: the agent's car standing on a lane, the others on the move.

        Raises:
            ConfigError: the seed is no whole number from 0 up.
        """
        if not (is_whole(seed) and seed >= 0):
            raise ConfigError(f"a world with seed = {seed!r}", expected="a whole number from 0 up")
        self._generator = generator = np.random.default_rng(seed)
        lane, along = traffic.places_on(self.lanes)
        chosen = generator.permutation(len(lane))
        own, others = chosen[0], chosen[1 : 1 + self.config.cars]
        place, heading = self.lanes.pose(lane[own : own + 1], along[own : own + 1])
        angle = math.atan2(heading[0, 1], heading[0, 0])
        rear = place[0] - REAR_TO_CENTRE * heading[0]
        self.state = WorldState(
            decisions=0,
            started=int(generator.integers(round(signals.CYCLE / SECONDS))),
            car=Car(float(rear[0]), float(rear[1]), angle),
            traffic=traffic.spawn(self.lanes, lane[others], along[others], generator),
            people=pedestrians.spawn(self.town, self.config.people, self.config.behaviour, generator),
        )

    @property
    def lights(self) -> np.ndarray:
        """What the traffic lights show; see :func:`weakspot.envs.driving.signals.lights`."""
        if self._shown is not self.state:
            self._locate()
        return self._lights

    def step(self, steer: float, pedal: float) -> Outcome:
        """One decision: the wheel to the left (1) or right (-1), throttle (1) or brake (-1).

        Raises:
            ConfigError: a number is not from -1 to 1.
        """
        if not (is_number(steer) and is_number(pedal) and -1 <= steer <= 1 and -1 <= pedal <= 1):
            raise ConfigError(f"steer = {steer!r}, pedal = {pedal!r}", expected="both numbers from -1 to 1")
        before, town = self.state, self.town
        lights = self.lights
        car = drive(before.car, steer, pedal, SECONDS)
        own = _vehicle(before.car)
        vehicles, places = self._vehicles(before, own), self.cars()[0]
        others = self._obstacles(before, own, vehicles)
        stranger = Stranger(own.places[0], own.headings[0], before.car.speed)
        moved = traffic.move(before.traffic, self.lanes, lights, places, others, stranger, SECONDS, self._generator)
        moved = replace(moved, along=_on_grid(moved.along), speed=_on_grid(moved.speed))
        people = pedestrians.move(
            before.people,
            town,
            self.config.behaviour,
            vehicles,
            before.seconds,
            SECONDS,
            self._generator,
        )
        people = replace(people, along=_on_grid(people.along), progress=_on_grid(people.progress))
        self.state = WorldState(before.decisions + 1, before.started, car, moved, people)
        way = (before.car.speed + car.speed) / 2 * SECONDS
        return Outcome(self._cause(before.car, lights), way * self._direction(car), way)

    def get_state(self) -> bytes:
        """Everything needed to go on bit for bit, under a checksum."""
        state = self.state
        header = {
            "settings": self._settings,
            "decisions": state.decisions,
            "started": state.started,
            "car": asdict(state.car),
            "generator": self._generator.bit_generator.state,
            "arrays": {},
        }
        parts = {}
        for owner in ("traffic", "people"):
            for name, array in vars(getattr(state, owner)).items():
                header["arrays"][f"{owner}.{name}"] = [array.dtype.str, list(array.shape)]
                parts[f"{owner}.{name}"] = np.ascontiguousarray(array).tobytes()
        return pack(header, parts)

    def set_state(self, stored: bytes) -> None:
        """Goes back to a state.

        Raises:
            SnapshotError: the bytes are damaged, or of a world with other settings or of another version.
        """
        header, parts = unpack_for(self._settings, stored)
        arrays = {
            name: np.frombuffer(parts[name], np.dtype(kind)).reshape(shape).copy()
            for name, (kind, shape) in header["arrays"].items()
        }

        def part(kind: type[Traffic] | type[Pedestrians], owner: str) -> Any:
            return kind(**{told.name: arrays[f"{owner}.{told.name}"] for told in fields(kind)})

        self._generator.bit_generator.state = header["generator"]
        self.state = WorldState(
            decisions=header["decisions"],
            started=header["started"],
            car=Car(**header["car"]),
            traffic=part(Traffic, "traffic"),
            people=part(Pedestrians, "people"),
        )

    def cars(self) -> tuple[np.ndarray, np.ndarray]:
        """Places and headings (n, 2) of the other cars that move."""
        if self._shown is not self.state:
            self._locate()
        return self._cars

    def feet(self) -> np.ndarray:
        """Where the pedestrians are (n, 2)."""
        if self._shown is not self.state:
            self._locate()
        return self._feet

    def _locate(self) -> None:
        state = self.state
        self._cars = self.lanes.pose(state.traffic.lane, state.traffic.along)
        self._feet = pedestrians.places(self.town, state.people)
        self._lights = signals.lights(self.town, state.seconds)
        self._shown = state

    def _obstacles(self, state: WorldState, own: Vehicles, vehicles: Vehicles) -> Obstacles:
        """People on the street, where they are and, of those who walk, where they will be in one and two seconds; and the
        corners and middles of the sides of the agent's car."""
        people = state.people
        there = np.flatnonzero(pedestrians.on_street(self.town, people))
        places, some = self.feet()[there], people.chosen(there)
        speeds, halted = pedestrians.velocities(some), pedestrians.stand(some, self.town, vehicles)
        walks, ways = places[~halted], speeds[~halted]
        ahead, left = own.headings[0], np.array([-own.headings[0, 1], own.headings[0, 0]])
        body = own.places + OUTLINE[:, :1] * HALF[0] * ahead + OUTLINE[:, 1:] * HALF[1] * left
        velocity = np.broadcast_to(ahead * own.speeds[0], body.shape)
        standing = np.concatenate([places[halted], body])
        return Obstacles(
            np.concatenate([walks, walks + ways, walks + 2 * ways, standing]),
            np.concatenate([np.zeros((len(standing) - len(body) + 3 * len(walks), 2)), velocity]),
            np.concatenate([np.full(3 * len(walks), traffic.WIDE), np.full(len(standing), traffic.CLOSE)]),
        )

    def _vehicles(self, state: WorldState, own: Vehicles) -> Vehicles:
        places, headings = self.cars()
        return Vehicles(
            np.concatenate([places, own.places]),
            np.concatenate([headings, own.headings]),
            np.concatenate([state.traffic.speed, own.speeds]),
        )

    def _cause(self, before: Car, lights: np.ndarray) -> str | None:
        car, town = self.state.car, self.town
        middle, heading = np.array(car.middle), np.array(car.direction)
        people = self.feet()
        people = people[_near(people, middle)]
        if len(people) and box_hits_posts(middle, heading, HALF, people, pedestrians.BODY_RADIUS).any():
            return "pedestrian"
        places, headings = self.cars()
        parked, houses = town.parked, town.buildings
        moving, standing = _near(places, middle), _near(parked.centre, middle)
        places = np.concatenate([places[moving], parked.centre[standing]])
        headings = np.concatenate([headings[moving], parked.heading[standing]])
        halves = np.broadcast_to(HALF, places.shape)
        if len(places) and box_hits_boxes(middle, heading, HALF, places, headings, halves).any():
            return "car"
        if not self._on_road(middle + heading * HALF[0], 0.0) or not self._on_road(middle, 0.0):
            if box_hits_boxes(middle, heading, HALF, houses.centre, houses.heading, houses.half).any():
                return "building"
            trees = town.trees[:, :2]
            if box_hits_posts(middle, heading, HALF, trees[_near(trees, middle)], TRUNK_RADIUS).any():
                return "tree"
        if not self._on_road(middle, OFF_ROAD):
            return "off_road"
        return "red_light" if self._ran_red(before, lights) else None

    def _on_road(self, place: np.ndarray, beyond: float) -> bool:
        """Whether a place is on a street, or at most so many metres beyond its kerb."""
        town, reach = self.town, self.town.kerb + beyond
        apart = []
        for streets, at in ((town.columns.tolist(), float(place[0])), (town.rows.tolist(), float(place[1]))):
            if not streets[0] - reach <= at <= streets[-1] + reach:
                return False
            apart.append(min(abs(street - at) for street in streets))
        return min(apart) <= reach

    def _direction(self, car: Car) -> float:
        """How far the car heads where its lane leads: 1 along it, -1 against it; 0 on intersections, which have none."""
        middle, heading = car.middle, car.direction
        town = self.town
        x, y = middle[0] - _closest(town.columns, middle[0]), middle[1] - _closest(town.rows, middle[1])
        if abs(x) < town.stop_line and abs(y) < town.stop_line:
            return 0.0
        if abs(y) <= abs(x):  # on a street along x; the right side is south of the middle when going east
            return heading[0] if y < 0 else -heading[0]
        return heading[1] if x > 0 else -heading[1]

    def _ran_red(self, before: Car, lights: np.ndarray) -> bool:
        """Whether the car's front came over a stop line while the light was red."""
        car, town = self.state.car, self.town
        front, back = _front(car), _front(before)
        column = int(np.abs(town.columns - front[0]).argmin())
        row = int(np.abs(town.rows - front[1]).argmin())
        centre = (float(town.columns[column]), float(town.rows[row]))
        for axis in (signals.ALONG_X, signals.ALONG_Y):
            was, now = back[axis] - centre[axis], front[axis] - centre[axis]
            came_in = abs(was) > town.stop_line >= abs(now) and was * car.direction[axis] < 0
            if came_in and lights[axis, column, row] == signals.RED:
                return True  # however far beside the street the front is: the middle is at most a metre off it
        return False


def plain(settings: dict[str, Any]) -> Any:
    """Settings as JSON tells them, so that stored ones can be compared with them."""
    return json.loads(json.dumps(settings, default=np.generic.item))


def _front(car: Car) -> tuple[float, float]:
    cos, sin = car.direction
    (x, y), half = car.middle, CAR_LENGTH / 2
    return x + half * cos, y + half * sin


def _vehicle(car: Car) -> Vehicles:
    return Vehicles(np.array([car.middle]), np.array([car.direction]), np.array([car.speed]))


def _near(places: np.ndarray, middle: np.ndarray) -> np.ndarray:
    apart = np.abs(places - middle)
    return (apart[:, 0] < TOUCHING) & (apart[:, 1] < TOUCHING)


def _closest(streets: np.ndarray, at: float) -> float:
    return min(streets.tolist(), key=lambda street: abs(street - at))


def _on_grid(values: np.ndarray) -> np.ndarray:
    return np.round(values * GRID) / GRID

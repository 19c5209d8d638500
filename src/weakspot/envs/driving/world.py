"""The simulated world: a town, its traffic, its pedestrians and the agent's car, without pixels.

A step lasts 0.1 seconds.  The agent's car moves by the bicycle model, the other cars and the pedestrians move, and then the
end of the episode and its cause are determined.  Everything that changes is in :class:`WorldState` and one random generator,
so a stored world continues bit for bit.  Positions are rounded to multiples of 2^-20 m after each step, so that machines
whose sines differ in the last bit do not drift apart.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np

from weakspot.envs.driving import pedestrians, signals, traffic
from weakspot.envs.driving.bicycle import GRID, REAR_TO_CENTRE, Car, drive
from weakspot.envs.driving.lanes import Lanes, build_lanes
from weakspot.envs.driving.overlap import box_hits_boxes, box_hits_posts
from weakspot.envs.driving.pedestrians import REASONABLE, Behaviour, Pedestrians, Vehicles
from weakspot.envs.driving.town import CAR_LENGTH, CAR_WIDTH, Town, TownConfig, build_town, is_number, is_whole
from weakspot.envs.driving.traffic import AgentCar, Obstacles, Traffic
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError

SECONDS = 0.1
"""Length of a step."""
STATE_VERSION = 3
"""Version of the town's rules; stored states of another version would continue differently."""
HALF_SIZE = np.array([CAR_LENGTH / 2, CAR_WIDTH / 2])
"""Half of a car's length and width."""
OUTLINE = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)], np.float64)
"""Points of a car, in units of ``HALF_SIZE``."""
TRUNK_RADIUS = 0.25
OFF_ROAD = 1.0
"""Metres beyond the kerb that the centre of the car may be."""
TOUCH_DISTANCE = 2 * pedestrians.REACH
"""Metres between the centres of two cars above which they cannot touch; nor can a car and a person, or a car and a tree."""
CAUSES = ("pedestrian", "car", "building", "tree", "off_road", "red_light")
"""Causes that end an episode, the most serious first."""


PLACES_PER_CAR = 4
"""Minimum number of start positions in the town per moving car."""
MAX_PEOPLE = 5_000


@dataclass(frozen=True)
class WorldConfig:
    """Settings of a world.

    Attributes:
        town: its streets and houses.
        cars: number of moving cars, without the agent's.
        people: number of pedestrians.
        behaviour: of the pedestrians.

    Raises:
        ConfigError: a number is negative or too large, or the town is too small for so many cars.
    """

    town: TownConfig = field(default_factory=TownConfig)
    cars: int = 30
    people: int = 200
    behaviour: Behaviour = REASONABLE

    def __post_init__(self) -> None:
        values = vars(self)
        if not (isinstance(values["town"], TownConfig) and isinstance(values["behaviour"], Behaviour)):
            raise ConfigError(
                f"a world with town = {self.town!r}, behaviour = {self.behaviour!r}", expected="a TownConfig and a Behaviour"
            )
        if not (is_whole(self.cars) and is_whole(self.people) and self.cars >= 0 and 0 <= self.people <= MAX_PEOPLE):
            raise ConfigError(
                f"a world with cars = {self.cars!r}, people = {self.people!r}",
                expected=f"whole numbers, at least 0, and at most {MAX_PEOPLE:,} people",
            )
        most = len(traffic.start_positions(layout(self.town)[1])[0]) // PLACES_PER_CAR
        if self.cars > most:
            raise ConfigError(
                f"{self.cars} cars in a town of {self.town.blocks[0]} by {self.town.blocks[1]} blocks",
                expected=f"at most {most}, so that they can move",
                todo="use fewer cars, or more or larger blocks",
            )


@lru_cache(maxsize=8)
def layout(config: TownConfig) -> tuple[Town, Lanes]:
    """A town and its lanes, built once for all worlds with the same settings."""
    town = build_town(config)
    return town, build_lanes(town)


@dataclass(frozen=True)
class WorldState:
    """Everything in a world that changes.

    Attributes:
        decisions: steps since the start of the episode.
        started: phase of the traffic lights at the start of the episode, in steps.
        car: the agent's car.
        traffic, people: the other cars, and the pedestrians.
    """

    decisions: int
    started: int
    car: Car
    traffic: Traffic
    people: Pedestrians

    @property
    def seconds(self) -> float:
        """Time of the traffic lights, in seconds."""
        return (self.started + self.decisions) * SECONDS


@dataclass(frozen=True)
class Outcome:
    """The result of a step.

    Attributes:
        cause: one of :data:`CAUSES` if the episode ends, else None.
        along: metres driven in the direction of the lane; negative on the wrong side of the street, 0 on intersections.
        distance: metres driven.
    """

    cause: str | None
    along: float
    distance: float


class World:
    """The simulation.

    Args:
        config: its settings.

    Attributes:
        config: the same.
        town, lanes: the fixed parts.
        state: the current state.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.town, self.lanes = layout(config.town)
        self.state: WorldState
        self._cached_state: WorldState | None = None
        self._generator = np.random.default_rng(0)
        self._settings = plain({"world": asdict(config), "version": STATE_VERSION})
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Starts an episode: the agent's car stands on a lane, other cars and pedestrians move.  The seed chooses positions.

        Raises:
            ConfigError: the seed is not a whole number, or negative.
        """
        if not (is_whole(seed) and seed >= 0):
            raise ConfigError(f"a world with seed = {seed!r}", expected="a whole number, at least 0")
        self._generator = generator = np.random.default_rng(seed)
        lane, along = traffic.start_positions(self.lanes)
        chosen = generator.permutation(len(lane))
        own, others = chosen[0], chosen[1 : 1 + self.config.cars]
        position, heading = self.lanes.pose(lane[own : own + 1], along[own : own + 1])
        angle = math.atan2(heading[0, 1], heading[0, 0])
        rear = position[0] - REAR_TO_CENTRE * heading[0]
        self.state = WorldState(
            decisions=0,
            started=int(generator.integers(round(signals.CYCLE / SECONDS))),
            car=Car(float(rear[0]), float(rear[1]), angle),
            traffic=traffic.spawn(self.lanes, lane[others], along[others], generator),
            people=pedestrians.spawn(self.town, self.config.people, self.config.behaviour, generator),
        )

    def reseed(self, seed: int) -> None:
        """Sets the random state of everything that happens from now on, without a new episode."""
        self._generator = np.random.default_rng(seed)

    @property
    def lights(self) -> np.ndarray:
        """Colours of the traffic lights; see :func:`weakspot.envs.driving.signals.lights`."""
        if self._cached_state is not self.state:
            self._update_cache()
        return self._lights

    def step(self, steer: float, pedal: float) -> Outcome:
        """Simulates 0.1 seconds.

        Args:
            steer: -1 (right) to 1 (left).
            pedal: -1 (brake) to 1 (throttle).

        Raises:
            ConfigError: a number is not between -1 and 1.
        """
        if not (is_number(steer) and is_number(pedal) and -1 <= steer <= 1 and -1 <= pedal <= 1):
            raise ConfigError(f"steer = {steer!r}, pedal = {pedal!r}", expected="both numbers from -1 to 1")
        before, town = self.state, self.town
        lights = self.lights
        car = drive(before.car, steer, pedal, SECONDS)
        own = _vehicle(before.car)
        vehicles, positions = self._vehicles(before, own), self.cars()[0]
        obstacles = self._obstacles(before, own, vehicles)
        agent_car = AgentCar(own.positions[0], own.headings[0], before.car.speed)
        moved = traffic.move(before.traffic, self.lanes, lights, positions, obstacles, agent_car, SECONDS, self._generator)
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
        distance = (before.car.speed + car.speed) / 2 * SECONDS
        return Outcome(self._cause(before.car, lights), distance * self._direction(car), distance)

    def get_state(self) -> bytes:
        """Everything needed to continue bit for bit, under a checksum."""
        state = self.state
        arrays: dict[str, list[Any]] = {}
        parts: dict[str, bytes] = {}
        for owner, group in (("traffic", state.traffic), ("people", state.people)):
            for name, array in cast("dict[str, np.ndarray]", vars(group)).items():
                arrays[f"{owner}.{name}"] = [array.dtype.str, list(array.shape)]
                parts[f"{owner}.{name}"] = np.ascontiguousarray(array).tobytes()
        header: dict[str, Any] = {
            "settings": self._settings,
            "decisions": state.decisions,
            "started": state.started,
            "car": asdict(state.car),
            "generator": self._generator.bit_generator.state,
            "arrays": arrays,
        }
        return pack(header, parts)

    def set_state(self, stored: bytes) -> None:
        """Restores a state from :meth:`get_state`.

        Raises:
            SnapshotError: the bytes are damaged, or of a world with other settings or of another version.
        """
        header, parts = unpack_for(self._settings, stored)
        arrays = {
            name: np.frombuffer(parts[name], np.dtype(dtype)).reshape(shape).copy()
            for name, (dtype, shape) in header["arrays"].items()
        }

        def part(kind: type[Traffic] | type[Pedestrians], owner: str) -> Any:
            return kind(**{column.name: arrays[f"{owner}.{column.name}"] for column in fields(kind)})

        self._generator.bit_generator.state = header["generator"]
        self.state = WorldState(
            decisions=header["decisions"],
            started=header["started"],
            car=Car(**header["car"]),
            traffic=part(Traffic, "traffic"),
            people=part(Pedestrians, "people"),
        )

    def cars(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and headings (n, 2) of the other moving cars."""
        if self._cached_state is not self.state:
            self._update_cache()
        return self._cars

    def pedestrian_positions(self) -> np.ndarray:
        """Positions (n, 2) of the pedestrians."""
        if self._cached_state is not self.state:
            self._update_cache()
        return self._pedestrian_positions

    def _update_cache(self) -> None:
        """Computes cars, pedestrians and lights of the current state, once per state."""
        state = self.state
        self._cars = self.lanes.pose(state.traffic.lane, state.traffic.along)
        self._pedestrian_positions = pedestrians.positions(self.town, state.people)
        self._lights = signals.lights(self.town, state.seconds)
        self._cached_state = state

    def _obstacles(self, state: WorldState, own: Vehicles, vehicles: Vehicles) -> Obstacles:
        """The obstacles for the other cars: people on the street, where they are now and, if they walk, where they will be
        in one and two seconds; and points of the agent's car."""
        people = state.people
        crossing = np.flatnonzero(pedestrians.on_street(self.town, people))
        positions, on_street = self.pedestrian_positions()[crossing], people.select(crossing)
        speeds, halted = pedestrians.velocities(on_street), pedestrians.are_standing(on_street, self.town, vehicles)
        walks, ways = positions[~halted], speeds[~halted]
        ahead, left = own.headings[0], np.array([-own.headings[0, 1], own.headings[0, 0]])
        body = own.positions + OUTLINE[:, :1] * HALF_SIZE[0] * ahead + OUTLINE[:, 1:] * HALF_SIZE[1] * left
        velocity = np.broadcast_to(ahead * own.speeds[0], body.shape)
        standing = np.concatenate([positions[halted], body])
        return Obstacles(
            np.concatenate([walks, walks + ways, walks + 2 * ways, standing]),
            np.concatenate([np.zeros((len(standing) - len(body) + 3 * len(walks), 2)), velocity]),
            np.concatenate([np.full(3 * len(walks), traffic.WIDE), np.full(len(standing), traffic.CLOSE)]),
        )

    def _vehicles(self, state: WorldState, own: Vehicles) -> Vehicles:
        """All moving cars, the agent's last."""
        positions, headings = self.cars()
        return Vehicles(
            np.concatenate([positions, own.positions]),
            np.concatenate([headings, own.headings]),
            np.concatenate([state.traffic.speed, own.speeds]),
        )

    def _cause(self, before: Car, lights: np.ndarray) -> str | None:
        """Why the episode ends, one of :data:`CAUSES`, or None."""
        car, town = self.state.car, self.town
        middle, heading = np.array(car.middle), np.array(car.direction)
        people = self.pedestrian_positions()
        people = people[_near(people, middle)]
        if len(people) and box_hits_posts(middle, heading, HALF_SIZE, people, pedestrians.BODY_RADIUS).any():
            return "pedestrian"
        positions, headings = self.cars()
        parked, houses = town.parked, town.buildings
        moving, standing = _near(positions, middle), _near(parked.centre, middle)
        positions = np.concatenate([positions[moving], parked.centre[standing]])
        headings = np.concatenate([headings[moving], parked.heading[standing]])
        halves = np.broadcast_to(HALF_SIZE, positions.shape)
        if len(positions) and box_hits_boxes(middle, heading, HALF_SIZE, positions, headings, halves).any():
            return "car"
        if not self._on_road(middle + heading * HALF_SIZE[0], 0.0) or not self._on_road(middle, 0.0):
            if box_hits_boxes(middle, heading, HALF_SIZE, houses.centre, houses.heading, houses.half).any():
                return "building"
            trees = town.trees[:, :2]
            if box_hits_posts(middle, heading, HALF_SIZE, trees[_near(trees, middle)], TRUNK_RADIUS).any():
                return "tree"
        if not self._on_road(middle, OFF_ROAD):
            return "off_road"
        return "red_light" if self._ran_red(before, lights) else None

    def _on_road(self, position: np.ndarray, beyond: float) -> bool:
        """Whether a position is on a street, or at most ``beyond`` metres outside its kerb."""
        town, reach = self.town, self.town.kerb + beyond
        distances: list[float] = []
        for axis, lines in enumerate((town.columns, town.rows)):
            streets: list[float] = lines.tolist()
            coordinate = float(position[axis])
            if not streets[0] - reach <= coordinate <= streets[-1] + reach:
                return False
            distances.append(min(abs(street - coordinate) for street in streets))
        return min(distances) <= reach

    def _direction(self, car: Car) -> float:
        """Cosine of the angle between car and lane: 1 along the lane, -1 against it; 0 on intersections."""
        middle, heading = car.middle, car.direction
        town = self.town
        x, y = middle[0] - _closest(town.columns, middle[0]), middle[1] - _closest(town.rows, middle[1])
        if abs(x) < town.stop_line and abs(y) < town.stop_line:
            return 0.0
        if abs(y) <= abs(x):  # on a street along x; the right side is south of the middle when going east
            return heading[0] if y < 0 else -heading[0]
        return heading[1] if x > 0 else -heading[1]

    def _ran_red(self, before: Car, lights: np.ndarray) -> bool:
        """Whether the front of the car has crossed a stop line while the light was red."""
        car, town = self.state.car, self.town
        front, back = _front(car), _front(before)
        column = int(np.abs(town.columns - front[0]).argmin())
        row = int(np.abs(town.rows - front[1]).argmin())
        centre = (float(town.columns[column]), float(town.rows[row]))
        for axis in (signals.ALONG_X, signals.ALONG_Y):
            was, now = back[axis] - centre[axis], front[axis] - centre[axis]
            entered = abs(was) > town.stop_line >= abs(now) and was * car.direction[axis] < 0
            if entered and lights[axis, column, row] == signals.RED:
                return True  # wherever the front is across the street: the car's centre is at most a metre off it
        return False


def plain(settings: dict[str, Any]) -> Any:
    """Settings as plain JSON values, which can be compared with stored ones."""
    return json.loads(json.dumps(settings, default=np.generic.item))


def _front(car: Car) -> tuple[float, float]:
    """Position of the middle of the car's front."""
    cos, sin = car.direction
    (x, y), half = car.middle, CAR_LENGTH / 2
    return x + half * cos, y + half * sin


def _vehicle(car: Car) -> Vehicles:
    return Vehicles(np.array([car.middle]), np.array([car.direction]), np.array([car.speed]))


def _near(positions: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Which positions (n, 2) are near enough to touch a car at ``middle``, (n,) bool."""
    offset = np.abs(positions - middle)
    return (offset[:, 0] < TOUCH_DISTANCE) & (offset[:, 1] < TOUCH_DISTANCE)


def _closest(streets: np.ndarray, coordinate: float) -> float:
    """Coordinate of the nearest street."""
    coordinates: list[float] = streets.tolist()
    return min(coordinates, key=lambda street: abs(street - coordinate))


def _on_grid(values: np.ndarray) -> np.ndarray:
    return np.round(values * GRID) / GRID

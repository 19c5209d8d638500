"""The other cars: they keep their lane and their distance, obey traffic lights, and give way.

The intelligent driver model (Treiber, Hennecke and Helbing 2000) determines a car's acceleration from its speed v and the
gap s to the nearest obstacle on its path: the car ahead, a stop line, the agent's car, or a person on the street:

    a = A (1 - (v / v0)^4 - (s* / s)^2),    s* = s0 + max(0, v T + v dv / (2 sqrt(A B)))

A car enters an intersection only if its light allows it, its exit is free, and no car on a conflicting connector is in the
intersection.  Cars that turn left wait for oncoming traffic.  The agent's car gets the same right of way as the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.envs.driving.lanes import CLEARANCE, DIRECTIONS, LEFT, Lanes
from weakspot.envs.driving.signals import AMBER, RED
from weakspot.envs.driving.town import CAR_LENGTH, CAR_WIDTH

ACCELERATION, COMFORTABLE_BRAKING, MAX_BRAKING = 1.8, 3.0, 8.0
"""A, B, and the maximum braking, in metres per second squared.  Only a car that would have to brake even harder, because an
intersection closed too late, is stopped at the line at once."""
STANDING_GAP, HEADWAY = 2.0, 1.3
"""s0 in metres, T in seconds."""
CRUISE = 11.0
"""v0 on straight lanes, metres per second."""
TURN_SPEED = 5.0
"""v0 in turns, metres per second."""
ONCOMING_SECONDS = 4.5
"""Cars that turn left wait for oncoming cars that reach the intersection within this time."""
DRIVING_SPEED = 1.0
"""Metres per second above which the agent's car counts as driving; otherwise cars that turn left do not wait for it."""
ON_LANE, ALONG_LANE = 2.0, 0.8
"""The agent's car drives along a lane if it is at most this many metres from the lane's middle, and the cosine of the angle
between its heading and the lane is above this value."""
INSIDE = 1.0
"""The agent's car is in the intersection from this many metres before a stop line on."""
CROSSING_SECONDS = 2.0
"""Time for which the agent's car is expected to go straight on in an intersection."""
ON_PATH, ALONG_PATH = 1.5, 0.7
"""Like ``ON_LANE`` and ``ALONG_LANE``, for connectors: cars on the connector of the agent's car follow it."""
LOOK_AHEAD = np.arange(2.5, 34.0, 2.25)
"""Distances in metres along the path at which a car looks for people and for the agent's car."""
WIDE, CLOSE = CAR_WIDTH / 2 + 0.8, CAR_WIDTH / 2 + 0.35
"""Minimum distance in metres of a car's path from people who walk, and from what stands still."""
FREE = 1e6
"""Distance in metres, or acceleration, where there is no obstacle."""
SPLIT = 10.5
"""Metres after which connectors that start at one stop line are far enough apart."""
SPAWN_APART = 16.0
"""Metres between the start positions of cars."""


@dataclass(frozen=True)
class Traffic:
    """The moving cars except the agent's, as arrays over car numbers.

    Attributes:
        lane: (n,) the car's lane.
        along: (n,) metres from the start of the lane to the centre of the car.
        speed: (n,) metres per second.
        after: (n,) the car's next lane.
        shade: (n,) brightness, 0 to 1.
    """

    lane: np.ndarray
    along: np.ndarray
    speed: np.ndarray
    after: np.ndarray
    shade: np.ndarray

    def __len__(self) -> int:
        return len(self.lane)


@dataclass(frozen=True)
class Obstacles:
    """Points on the streets that cars have to stay away from: pedestrians and the outline of the agent's car.

    Attributes:
        positions: (m, 2).
        velocities: (m, 2) metres per second.
        radii: (m,) minimum distance of the centre of a car.
    """

    positions: np.ndarray
    velocities: np.ndarray
    radii: np.ndarray


@dataclass(frozen=True)
class AgentCar:
    """The agent's car as the other cars see it.

    Attributes:
        position: (2,) of its centre.
        heading: (2,) unit vector.
        speed: metres per second.
    """

    position: np.ndarray
    heading: np.ndarray
    speed: float


def start_positions(lanes: Lanes) -> tuple[np.ndarray, np.ndarray]:
    """Start positions on the straight lanes, ``SPAWN_APART`` metres apart: lanes (n,) and metres along them (n,)."""
    positions = [
        (lane, along)
        for lane in range(lanes.straight)
        for along in np.arange(CAR_LENGTH, lanes.length[lane] - CAR_LENGTH, SPAWN_APART)
    ]
    table = np.array(positions)
    return table[:, 0].astype(np.int64), table[:, 1]


def spawn(lanes: Lanes, lane: np.ndarray, along: np.ndarray, generator: np.random.Generator) -> Traffic:
    """Cars at positions on straight lanes, with random speeds from which they can stop before the line."""
    speed = np.minimum(
        generator.uniform(3.0, 8.0, len(lane)), np.sqrt(2 * COMFORTABLE_BRAKING * (lanes.length[lane] - along))
    )
    return Traffic(
        lane=lane,
        along=along,
        speed=speed,
        after=_choose(lanes, lane, generator),
        shade=generator.uniform(0.25, 0.95, len(lane)),
    )


def move(
    traffic: Traffic,
    lanes: Lanes,
    lights: np.ndarray,
    positions: np.ndarray,
    obstacles: Obstacles,
    agent_car: AgentCar,
    seconds: float,
    generator: np.random.Generator,
) -> Traffic:
    """The cars after ``seconds``.

    Args:
        traffic: the cars before.
        lanes: of the town.
        lights: from :func:`weakspot.envs.driving.signals.lights`.
        positions: (n, 2) of the cars.
        obstacles: people on the street and the agent's car.
        agent_car: the agent's car, for the right of way.
        seconds: length of the step.
        generator: chooses the next lanes.
    """
    if not len(traffic):
        return traffic
    to_line = lanes.length[traffic.lane] - traffic.along
    stops = must_stop(traffic, lanes, lights, agent_car)
    acceleration = _follow(traffic.speed, *_leader(traffic, lanes))
    at_line = _follow(traffic.speed, to_line + STANDING_GAP - 0.5, np.zeros(len(traffic)))
    acceleration = np.minimum(acceleration, np.where(stops, at_line, FREE))
    acceleration = np.minimum(acceleration, _obstacle_acceleration(traffic, lanes, positions, obstacles))
    acceleration = np.minimum(acceleration, _turn_acceleration(traffic, lanes, to_line))
    acceleration = np.maximum(acceleration, -MAX_BRAKING)
    speed = np.maximum(traffic.speed + acceleration * seconds, 0.0)
    along = traffic.along + (traffic.speed + speed) / 2 * seconds
    overrun = stops & (along > lanes.length[traffic.lane])
    along = np.where(overrun, lanes.length[traffic.lane], along)
    speed = np.where(overrun, 0.0, speed)
    crossed = along > lanes.length[traffic.lane]
    along = np.where(crossed, along - lanes.length[traffic.lane], along)
    lane = np.where(crossed, traffic.after, traffic.lane)
    after = np.where(crossed, _choose(lanes, lane, generator), traffic.after)
    return Traffic(lane, along, speed, after, traffic.shade)


def must_stop(traffic: Traffic, lanes: Lanes, lights: np.ndarray, agent_car: AgentCar) -> np.ndarray:
    """Which cars (n,) must not enter the intersection ahead of them: bool."""
    approaching = traffic.lane < lanes.straight
    column, row = lanes.intersection[traffic.lane].T
    to_line = lanes.length[traffic.lane] - traffic.along
    light = lights[lanes.begins[traffic.lane] % 2, column, row]
    can_stop = traffic.speed * traffic.speed < 2 * COMFORTABLE_BRAKING * np.maximum(to_line, 0.1)
    stops = (light == RED) | ((light == AMBER) & can_stop)
    connector = np.where(approaching, traffic.after, 0)
    stops |= lanes.conflicts[connector[:, None], traffic.lane].any(axis=1)
    stops |= (lanes.bend[connector] == LEFT) & _oncoming(traffic, lanes, light, to_line, agent_car)
    stops |= _exit_blocked(traffic, lanes, connector)
    stops |= _blocked_connectors(lanes, agent_car)[connector]
    stops &= approaching
    return stops | (approaching & _enters_later(traffic, lanes, connector, to_line, stops))


def _oncoming(traffic: Traffic, lanes: Lanes, light: np.ndarray, to_line: np.ndarray, agent_car: AgentCar) -> np.ndarray:
    """Whether a car that has the right of way comes towards each car, (n,) bool."""
    arrives = to_line / np.maximum(traffic.speed, 2.0) < ONCOMING_SECONDS
    goes_first = (traffic.lane < lanes.straight) & (lanes.bend[traffic.after] != LEFT) & (light != RED) & arrives
    arms = np.concatenate([lanes.arm[traffic.lane[goes_first]], _arms_taken(lanes, agent_car)])
    return (lanes.opposite[traffic.lane][:, None] == arms).any(axis=1)


def _arms_taken(lanes: Lanes, agent_car: AgentCar) -> np.ndarray:
    """The arm (1,) on which the agent's car drives along a lane and soon reaches its end; empty (0,) if there is none."""
    if agent_car.speed <= DRIVING_SPEED:
        return np.zeros(0, np.int64)
    (east, north), (x, y) = (
        DIRECTIONS[lanes.begins[: lanes.straight]].T,
        (agent_car.position - lanes.start[: lanes.straight]).T,
    )
    along, aside = x * east + y * north, np.abs(x * north - y * east)
    to_line = lanes.length[: lanes.straight] - along
    cos, sin = agent_car.heading
    on_lane = (aside < ON_LANE) & (east * cos + north * sin > ALONG_LANE) & (along >= 0)
    soon = (to_line >= 0) & (to_line < agent_car.speed * ONCOMING_SECONDS)
    return lanes.arm[: lanes.straight][on_lane & soon]


def _blocked_connectors(lanes: Lanes, agent_car: AgentCar) -> np.ndarray:
    """Which lanes (n,) are connectors that the agent's car blocks: those of its intersection that come near to where it is
    or soon will be, except the ones that it drives along itself."""
    blocked = np.zeros(len(lanes), bool)
    x, y = np.abs(lanes.centre[lanes.straight :] - agent_car.position).T
    connectors = np.flatnonzero(np.maximum(x, y) < lanes.stop_line + INSIDE)  # of the intersection that the car is in
    if not len(connectors):
        return blocked
    positions, headings = (part[connectors] for part in lanes.traces)
    offset, (cos, sin) = positions - agent_car.position, agent_car.heading
    ahead, aside = offset @ agent_car.heading, offset @ np.array([-sin, cos])
    half = CAR_LENGTH / 2
    beyond = ahead - np.clip(ahead, -half, half + agent_car.speed * CROSSING_SECONDS)
    near = (np.hypot(beyond, aside) < CLEARANCE).any(axis=1)
    distance = np.hypot(ahead, aside)
    nearest, number = distance.argmin(axis=1), np.arange(len(connectors))
    along = headings[number, nearest] @ agent_car.heading > ALONG_PATH
    blocked[lanes.straight + connectors] = near & ~(along & (distance[number, nearest] < ON_PATH))
    return blocked


def _exit_blocked(traffic: Traffic, lanes: Lanes, connector: np.ndarray) -> np.ndarray:
    """Whether each car would have to stop inside the intersection, (n,) bool."""
    taken = np.zeros(len(lanes), bool)
    slow = traffic.speed < 3.0
    near = traffic.along < 1.5 * CAR_LENGTH + STANDING_GAP
    taken[traffic.lane[slow & near]] = True
    return taken[lanes.successors[connector, 0]]


def _enters_later(
    traffic: Traffic, lanes: Lanes, connector: np.ndarray, to_line: np.ndarray, stops: np.ndarray
) -> np.ndarray:
    """Of the cars that would enter an intersection at the same time on conflicting connectors, all but the first, (n,)
    bool."""
    later = np.zeros(len(traffic), bool)
    entering = np.flatnonzero((traffic.lane < lanes.straight) & ~stops & (to_line < 4.0))
    if len(entering) < 2:
        return later
    admitted: list[int] = []
    for car in entering[np.argsort(to_line[entering], kind="stable")]:
        if admitted and lanes.conflicts[connector[car], connector[admitted]].any():
            later[car] = True
        else:
            admitted.append(int(car))
    return later


def _leader(traffic: Traffic, lanes: Lanes) -> tuple[np.ndarray, np.ndarray]:
    """Distance (n,) to the back of the car ahead on each car's path, and that car's speed (n,)."""
    lane, along = traffic.lane, traffic.along
    third = lanes.successors[traffic.after, 0]
    to_end = lanes.length[lane] - along
    same = (lane[None] == lane[:, None]) | _still_leaving(traffic, lanes, lanes.parent[lane])
    ahead = np.where(same & (along[None] > along[:, None]), along[None] - along[:, None], FREE)
    follows = (lane[None] == traffic.after[:, None]) | _still_leaving(traffic, lanes, lane)
    on_next = np.where(follows, to_end[:, None] + along[None], FREE)
    beyond = (lane >= lanes.straight)[:, None] | (to_end < 10.0)[:, None]
    on_third = np.where(
        (lane[None] == third[:, None]) & beyond, (to_end + lanes.length[traffic.after])[:, None] + along[None], FREE
    )
    distance = np.minimum(np.minimum(ahead, on_next), on_third)
    np.fill_diagonal(distance, FREE)
    nearest = distance.argmin(axis=1)
    return distance[np.arange(len(lane)), nearest] - CAR_LENGTH, traffic.speed[nearest]


def _still_leaving(traffic: Traffic, lanes: Lanes, lane: np.ndarray) -> np.ndarray:
    """Which cars (n, n) have just left the end of ``lane`` (n,) on any connector, so that their backs still block cars that
    take another connector from there."""
    return (lanes.parent[traffic.lane][None] == lane[:, None]) & (lane[:, None] >= 0) & (traffic.along < SPLIT)[None]


def _follow(own: np.ndarray, gap: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Acceleration (n,) of the intelligent driver model at speed ``own`` behind something ``gap`` ahead with speed
    ``speed``."""
    desired = own * HEADWAY + own * (own - speed) / (2 * np.sqrt(ACCELERATION * COMFORTABLE_BRAKING))
    desired = STANDING_GAP + np.maximum(desired, 0.0)
    gap_ratio, speed_ratio = desired / np.maximum(gap, 0.1), own / CRUISE
    return ACCELERATION * (1 - speed_ratio * speed_ratio * speed_ratio * speed_ratio - gap_ratio * gap_ratio)


def _turn_acceleration(traffic: Traffic, lanes: Lanes, to_line: np.ndarray) -> np.ndarray:
    """The highest acceleration (n,) with which cars are slow enough for the turn that they are in or approach."""
    in_turn = lanes.bend[traffic.lane] > 0
    before_turn = (traffic.lane < lanes.straight) & (lanes.bend[traffic.after] > 0)
    needed = (TURN_SPEED * TURN_SPEED - traffic.speed * traffic.speed) / (2 * np.maximum(to_line, 1.0))
    inside = ACCELERATION * (1 - traffic.speed / TURN_SPEED)
    brakes = before_turn & (traffic.speed > TURN_SPEED) & (-needed > COMFORTABLE_BRAKING / 2)
    return np.where(in_turn, inside, np.where(brakes, needed, FREE))


def _obstacle_acceleration(traffic: Traffic, lanes: Lanes, here: np.ndarray, obstacles: Obstacles) -> np.ndarray:
    """The acceleration (n,) for the nearest obstacle on the path of each car, whose position is ``here`` (n, 2)."""
    acceleration = np.full(len(traffic), FREE)
    reach = LOOK_AHEAD[-1] + WIDE
    x, y = (np.abs(obstacles.positions[None, :, axis] - here[:, None, axis]) < reach for axis in (0, 1))
    close = x & y
    car, obstacle = np.nonzero(close)
    if not len(car):
        return acceleration
    affected = close.any(axis=1)
    positions, headings = _path(traffic, lanes, np.flatnonzero(affected))
    row = (np.cumsum(affected) - 1)[car]
    offset = obstacles.positions[obstacle][:, None] - positions[row]
    near = (offset * offset).sum(axis=-1) < (obstacles.radii * obstacles.radii)[obstacle, None]
    hit = near.any(axis=1)
    car, row, obstacle, first = car[hit], row[hit], obstacle[hit], near[hit].argmax(axis=1)
    speed = (headings[row, first] * obstacles.velocities[obstacle]).sum(axis=-1)
    gap = LOOK_AHEAD[first] - CAR_LENGTH / 2 - 0.7
    np.minimum.at(acceleration, car, _follow(traffic.speed[car], gap, np.maximum(speed, 0.0)))
    return acceleration


def _path(traffic: Traffic, lanes: Lanes, cars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and headings (n, m, 2) at ``LOOK_AHEAD`` (m,) metres along the paths of ``cars`` (n,)."""
    along = traffic.along[cars, None] + LOOK_AHEAD
    lane = np.broadcast_to(traffic.lane[cars, None], along.shape)
    after = traffic.after[cars]
    for following in (after, lanes.successors[after, 0]):
        beyond = along > lanes.length[lane]
        along = np.where(beyond, along - lanes.length[lane], along)
        lane = np.where(beyond, following[:, None], lane)
    return lanes.pose(lane, along)


def _choose(lanes: Lanes, lane: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A random successor of each lane (n,), all with equal probability."""
    after = lanes.successors[lane]
    draw = generator.random(len(lane))
    count = (after >= 0).sum(axis=1)
    pick = np.minimum((draw * count).astype(np.int64), count - 1)
    return after[np.arange(len(lane)), pick]

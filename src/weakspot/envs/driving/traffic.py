"""The other cars: they keep their lane, their distance and the lights, and give way.

How fast a car goes is decided by the intelligent driver model (Treiber, Hennecke and Helbing 2000) for whatever is nearest
on its path: the car ahead, a stop line, the agent's car, or a person on the street:

    a = A (1 - (v / v0)^4 - (s* / s)^2),    s* = s0 + max(0, v T + v dv / (2 sqrt(A B)))

An intersection is entered only while its light allows it, its way out is free and nobody whose path crosses is in it; who
turns left waits for those who come towards him.  The agent's car is given way as the others are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.envs.driving.lanes import CLEARANCE, DIRECTIONS, LEFT, Lanes
from weakspot.envs.driving.signals import AMBER, RED
from weakspot.envs.driving.town import CAR_LENGTH, CAR_WIDTH

ACCELERATION, COMFORTABLE, HARDEST = 1.8, 3.0, 8.0
"""A, B, and the most a car brakes, in metres a second squared; only where an intersection closes too late to stop before it
is a car put to a stand at its line."""
STANDING_GAP, HEADWAY = 2.0, 1.3
"""s0 in metres, T in seconds."""
CRUISE = 11.0
"""v0 on straight lanes, metres a second."""
TURN_SPEED = 5.0
ONCOMING_SECONDS = 4.5
"""Who turns left waits for cars that reach the intersection within this time."""
DRIVES = 1.0
"""Metres a second above which the agent's car drives; for one that stands nobody who turns left waits."""
ON_LANE, ALONG_LANE = 2.0, 0.8
"""Metres from the middle of a lane, and cosine of the angle to it, within which the agent's car drives along it."""
INSIDE = 1.0
"""Metres before a stop line from which on the agent's car is in the intersection."""
CROSSING_SECONDS = 2.0
"""For so long it is expected to go straight on there."""
ON_PATH, ALONG_PATH = 1.5, 0.7
"""The same as of a lane, of a way over an intersection: who takes it too follows the agent's car."""
LOOK_AHEAD = np.arange(2.5, 34.0, 2.25)
"""Metres along the path at which a car looks for people and for the agent's car."""
WIDE, CLOSE = CAR_WIDTH / 2 + 0.8, CAR_WIDTH / 2 + 0.35
"""How near the middle of a car's path may come to people who walk, and to what stands."""
FREE = 1e6
"""Metres to what is not there, and the acceleration that nothing limits."""
SPLIT = 10.5
"""Metres after which ways that begin at one stop line are apart."""
SPAWN_APART = 16.0


@dataclass(frozen=True)
class Traffic:
    """The moving cars other than the agent's, as arrays over their numbers.

    Attributes:
        lane: (n,) the lane each is on.
        along: (n,) metres of its middle from the lane's beginning.
        speed: (n,).
        after: (n,) the lane it takes next.
        shade: (n,) how bright it is, 0 to 1.
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
    """What stands or moves on the streets beside the cars of the traffic.

    Attributes:
        places: (m, 2).
        velocities: (m, 2), metres a second.
        radii: (m,) how near to them the middle of a car must not come.
    """

    places: np.ndarray
    velocities: np.ndarray
    radii: np.ndarray


@dataclass(frozen=True)
class Stranger:
    """The agent's car, as those see it who have to give way.

    Attributes:
        place: (2,) its middle.
        heading: (2,).
        speed: metres a second.
    """

    place: np.ndarray
    heading: np.ndarray
    speed: float


def places_on(lanes: Lanes) -> tuple[np.ndarray, np.ndarray]:
    """Places for cars on straight lanes, far enough apart: lane (n,) and metres along it (n,)."""
    places = [
        (lane, along)
        for lane in range(lanes.straight)
        for along in np.arange(CAR_LENGTH, lanes.length[lane] - CAR_LENGTH, SPAWN_APART)
    ]
    table = np.array(places)
    return table[:, 0].astype(np.int64), table[:, 1]


def spawn(lanes: Lanes, lane: np.ndarray, along: np.ndarray, generator: np.random.Generator) -> Traffic:
    """Cars at places along straight lanes, as fast as they can stop from before the line."""
    speed = np.minimum(generator.uniform(3.0, 8.0, len(lane)), np.sqrt(2 * COMFORTABLE * (lanes.length[lane] - along)))
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
    places: np.ndarray,
    others: Obstacles,
    stranger: Stranger,
    seconds: float,
    generator: np.random.Generator,
) -> Traffic:
    """The cars after ``seconds``.

    Args:
        lights: what :func:`weakspot.envs.driving.signals.lights` shows.
        places: (n, 2), where the cars are.
        others: people on the street and the agent's car.
        stranger: the agent's car, which is given way.
    """
    if not len(traffic):
        return traffic
    to_line = lanes.length[traffic.lane] - traffic.along
    stops = must_stop(traffic, lanes, lights, stranger)
    push = _follow(traffic.speed, *_leader(traffic, lanes))
    push = np.minimum(
        push, np.where(stops, _follow(traffic.speed, to_line + STANDING_GAP - 0.5, np.zeros(len(traffic))), FREE)
    )
    push = np.minimum(push, _for_obstacles(traffic, lanes, places, others))
    push = np.minimum(push, _for_turns(traffic, lanes, to_line))
    push = np.maximum(push, -HARDEST)
    speed = np.maximum(traffic.speed + push * seconds, 0.0)
    along = traffic.along + (traffic.speed + speed) / 2 * seconds
    overrun = stops & (along > lanes.length[traffic.lane])
    along = np.where(overrun, lanes.length[traffic.lane], along)
    speed = np.where(overrun, 0.0, speed)
    crossed = along > lanes.length[traffic.lane]
    along = np.where(crossed, along - lanes.length[traffic.lane], along)
    lane = np.where(crossed, traffic.after, traffic.lane)
    after = np.where(crossed, _choose(lanes, lane, generator), traffic.after)
    return Traffic(lane, along, speed, after, traffic.shade)


def must_stop(traffic: Traffic, lanes: Lanes, lights: np.ndarray, stranger: Stranger) -> np.ndarray:
    """Which cars (n,) must not enter the intersection ahead of them."""
    approaching = traffic.lane < lanes.straight
    column, row = lanes.intersection[traffic.lane].T
    to_line = lanes.length[traffic.lane] - traffic.along
    light = lights[lanes.begins[traffic.lane] % 2, column, row]
    can_stop = traffic.speed * traffic.speed < 2 * COMFORTABLE * np.maximum(to_line, 0.1)
    stops = (light == RED) | ((light == AMBER) & can_stop)
    connector = np.where(approaching, traffic.after, 0)
    stops |= lanes.conflicts[connector[:, None], traffic.lane].any(axis=1)
    stops |= (lanes.bend[connector] == LEFT) & _oncoming(traffic, lanes, light, to_line, stranger)
    stops |= _way_out_taken(traffic, lanes, connector)
    stops |= _cut_off(lanes, stranger)[connector]
    stops &= approaching
    return stops | (approaching & _second(traffic, lanes, connector, to_line, stops))


def _oncoming(traffic: Traffic, lanes: Lanes, light: np.ndarray, to_line: np.ndarray, stranger: Stranger) -> np.ndarray:
    """Whether somebody who goes before comes towards each car (n,)."""
    arrives = to_line / np.maximum(traffic.speed, 2.0) < ONCOMING_SECONDS
    goes_first = (traffic.lane < lanes.straight) & (lanes.bend[traffic.after] != LEFT) & (light != RED) & arrives
    arms = np.concatenate([lanes.arm[traffic.lane[goes_first]], _arms_taken(lanes, stranger)])
    return (lanes.opposite[traffic.lane][:, None] == arms).any(axis=1)


def _arms_taken(lanes: Lanes, stranger: Stranger) -> np.ndarray:
    """The arm (1,) on which the agent's car drives along a lane and is soon at its end; none (0,) where it does not."""
    if stranger.speed <= DRIVES:
        return np.zeros(0, np.int64)
    (east, north), (x, y) = DIRECTIONS[lanes.begins[: lanes.straight]].T, (stranger.place - lanes.start[: lanes.straight]).T
    along, aside = x * east + y * north, np.abs(x * north - y * east)
    to_line = lanes.length[: lanes.straight] - along
    cos, sin = stranger.heading
    on_lane = (aside < ON_LANE) & (east * cos + north * sin > ALONG_LANE) & (along >= 0)
    soon = (to_line >= 0) & (to_line < stranger.speed * ONCOMING_SECONDS)
    return lanes.arm[: lanes.straight][on_lane & soon]


def _cut_off(lanes: Lanes, stranger: Stranger) -> np.ndarray:
    """The connectors (n,) of the intersection that the agent's car is in that come near to where it is or soon will be, but
    for those that it drives along itself."""
    found = np.zeros(len(lanes), bool)
    x, y = np.abs(lanes.centre[lanes.straight :] - stranger.place).T
    there = np.flatnonzero(np.maximum(x, y) < lanes.stop_line + INSIDE)
    if not len(there):
        return found
    places, headings = (part[there] for part in lanes.traces)
    apart, (cos, sin) = places - stranger.place, stranger.heading
    ahead, aside = apart @ stranger.heading, apart @ np.array([-sin, cos])
    half = CAR_LENGTH / 2
    beyond = ahead - np.clip(ahead, -half, half + stranger.speed * CROSSING_SECONDS)
    near = (np.hypot(beyond, aside) < CLEARANCE).any(axis=1)
    distance = np.hypot(ahead, aside)
    nearest, number = distance.argmin(axis=1), np.arange(len(there))
    along = headings[number, nearest] @ stranger.heading > ALONG_PATH
    found[lanes.straight + there] = near & ~(along & (distance[number, nearest] < ON_PATH))
    return found


def _way_out_taken(traffic: Traffic, lanes: Lanes, connector: np.ndarray) -> np.ndarray:
    """Whether a car would have to stand in the intersection (n,)."""
    standing = np.zeros(len(lanes), bool)
    slow = traffic.speed < 3.0
    near = traffic.along < 1.5 * CAR_LENGTH + STANDING_GAP
    standing[traffic.lane[slow & near]] = True
    return standing[lanes.successors[connector, 0]]


def _second(traffic: Traffic, lanes: Lanes, connector: np.ndarray, to_line: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Of cars that would enter an intersection at once on paths that cross, all but the first (n,)."""
    second = np.zeros(len(traffic), bool)
    entering = np.flatnonzero((traffic.lane < lanes.straight) & ~stops & (to_line < 4.0))
    if len(entering) < 2:
        return second
    let_in: list[int] = []
    for car in entering[np.argsort(to_line[entering], kind="stable")]:
        if let_in and lanes.conflicts[connector[car], connector[let_in]].any():
            second[car] = True
        else:
            let_in.append(int(car))
    return second


def _leader(traffic: Traffic, lanes: Lanes) -> tuple[np.ndarray, np.ndarray]:
    """Distance (n,) to the back of the car ahead on the path of each, and its speed (n,)."""
    lane, along = traffic.lane, traffic.along
    third = lanes.successors[traffic.after, 0]
    to_end = lanes.length[lane] - along
    same = (lane[None] == lane[:, None]) | _beside(traffic, lanes, lanes.parent[lane])
    ahead = np.where(same & (along[None] > along[:, None]), along[None] - along[:, None], FREE)
    follows = (lane[None] == traffic.after[:, None]) | _beside(traffic, lanes, lane)
    on_next = np.where(follows, to_end[:, None] + along[None], FREE)
    beyond = (lane >= lanes.straight)[:, None] | (to_end < 10.0)[:, None]
    on_third = np.where(
        (lane[None] == third[:, None]) & beyond, (to_end + lanes.length[traffic.after])[:, None] + along[None], FREE
    )
    distance = np.minimum(np.minimum(ahead, on_next), on_third)
    np.fill_diagonal(distance, FREE)
    nearest = distance.argmin(axis=1)
    return distance[np.arange(len(lane)), nearest] - CAR_LENGTH, traffic.speed[nearest]


def _beside(traffic: Traffic, lanes: Lanes, lane: np.ndarray) -> np.ndarray:
    """Which cars (n, n) are so shortly behind the end of ``lane`` (n,), on any connector, that their backs are still in the
    way of those who go another way from there."""
    return (lanes.parent[traffic.lane][None] == lane[:, None]) & (lane[:, None] >= 0) & (traffic.along < SPLIT)[None]


def _follow(own: np.ndarray, gap: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """The acceleration (n,) of the intelligent driver model at speed ``own`` for something ``gap`` ahead at ``speed``."""
    wish = own * HEADWAY + own * (own - speed) / (2 * np.sqrt(ACCELERATION * COMFORTABLE))
    wish = STANDING_GAP + np.maximum(wish, 0.0)
    share, pace = wish / np.maximum(gap, 0.1), own / CRUISE
    return ACCELERATION * (1 - pace * pace * pace * pace - share * share)


def _for_turns(traffic: Traffic, lanes: Lanes, to_line: np.ndarray) -> np.ndarray:
    """The most acceleration (n,) that leaves cars slow enough for bends."""
    bent = lanes.bend[traffic.lane] > 0
    soon = (traffic.lane < lanes.straight) & (lanes.bend[traffic.after] > 0)
    wanted = (TURN_SPEED * TURN_SPEED - traffic.speed * traffic.speed) / (2 * np.maximum(to_line, 1.0))
    in_bend = ACCELERATION * (1 - traffic.speed / TURN_SPEED)
    slows = soon & (traffic.speed > TURN_SPEED) & (-wanted > COMFORTABLE / 2)
    return np.where(bent, in_bend, np.where(slows, wanted, FREE))


def _for_obstacles(traffic: Traffic, lanes: Lanes, here: np.ndarray, others: Obstacles) -> np.ndarray:
    """The acceleration (n,) for people and the agent's car on each path."""
    push = np.full(len(traffic), FREE)
    reach = LOOK_AHEAD[-1] + WIDE
    x, y = (np.abs(others.places[None, :, axis] - here[:, None, axis]) < reach for axis in (0, 1))
    close = x & y
    car, other = np.nonzero(close)
    if not len(car):
        return push
    concerned = close.any(axis=1)
    places, headings = _path(traffic, lanes, np.flatnonzero(concerned))
    row = (np.cumsum(concerned) - 1)[car]
    apart = others.places[other][:, None] - places[row]
    near = (apart * apart).sum(axis=-1) < (others.radii * others.radii)[other, None]
    hit = near.any(axis=1)
    car, row, other, first = car[hit], row[hit], other[hit], near[hit].argmax(axis=1)
    speed = (headings[row, first] * others.velocities[other]).sum(axis=-1)
    gap = LOOK_AHEAD[first] - CAR_LENGTH / 2 - 0.7
    np.minimum.at(push, car, _follow(traffic.speed[car], gap, np.maximum(speed, 0.0)))
    return push


def _path(traffic: Traffic, lanes: Lanes, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and headings (n, m, 2) at ``LOOK_AHEAD`` metres along the paths of ``some`` cars (n,)."""
    at = traffic.along[some, None] + LOOK_AHEAD
    lane = np.broadcast_to(traffic.lane[some, None], at.shape)
    after = traffic.after[some]
    for following in (after, lanes.successors[after, 0]):
        beyond = at > lanes.length[lane]
        at = np.where(beyond, at - lanes.length[lane], at)
        lane = np.where(beyond, following[:, None], lane)
    return lanes.pose(lane, at)


def _choose(lanes: Lanes, lane: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One of the lanes that go on from each (n,), each as likely as the others."""
    after = lanes.successors[lane]
    draw = generator.random(len(lane))
    known = (after >= 0).sum(axis=1)
    pick = np.minimum((draw * known).astype(np.int64), known - 1)
    return after[np.arange(len(lane)), pick]

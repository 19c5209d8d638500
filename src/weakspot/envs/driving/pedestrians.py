"""Pedestrians: they walk around the blocks and cross streets, with or without looking.

One model with the parameters of :class:`Behaviour` covers reasonable and distracted pedestrians.  To cross, a pedestrian
walks to the kerb.  A reasonable pedestrian waits there: at a crossing with lights until the cars have red for long enough
and no car is near that cannot stop; elsewhere until no car will pass while the pedestrian is on the street.  A distracted
pedestrian looks at a phone and walks on without looking.  No pedestrian walks into the side of a car: they halt in front of
it, and go back if it does not drive on.  Reasonable pedestrians look again before they leave the place where they halted, in
either direction, and do not step in front of a car that cannot stop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from weakspot.envs.driving.signals import red_left
from weakspot.envs.driving.town import CAR_LENGTH, CAR_WIDTH, CORNER, OUTWARDS, SLOT, Town, is_number, is_pair
from weakspot.errors import ConfigError

WALK, TO_KERB, WAIT, CROSS, HALT, BACK = range(6)
"""What a pedestrian does; HALT is standing on the street, right in front of a car."""
KERB_GAP = 0.4
"""Metres from a waiting pedestrian to the kerb."""
STOPPING_DECELERATION, REACTION_SECONDS = 6.0, 0.7
"""Metres per second squared, and reaction time: what pedestrians assume of a car that has to stop for them."""
NEAR_CAR = 3.0
"""Minimum distance in metres between a pedestrian's path across the street and a car on it."""
MARGIN_SECONDS = 1.5
"""Minimum time between a pedestrian's arrival on the other side and that of a car."""
CREEPING = 4.0
"""Metres per second; pedestrians assume that slower cars come at this speed."""
HALTED_SECONDS = 3.0
"""Time that a pedestrian stands on the street in front of a car that does not drive on."""
BODY_RADIUS, BODY_HEIGHT = 0.3, 1.75
ACROSS = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]])
"""For each side of a block: the offset to the block on the other side of the street."""
FACING = np.array(
    [[[-on, on - 1], [on, 1 - on], ACROSS[side], -ACROSS[side]] for side, on in enumerate((1, 0, 1, 0))], np.float64
)
"""For each side of a block: the direction that a pedestrian faces who walks towards smaller coordinates, towards larger
ones, across the street, or back."""
ARM = 0.4
"""Metres in front of them that even distracted pedestrians notice."""
REACH = float(np.hypot(CAR_LENGTH, CAR_WIDTH)) / 2
"""Metres from the centre of a car to its corners."""
PAST = 0.01
"""Metres beyond the crossing place at which pedestrians walk on, so that they do not reach it again at once."""


@dataclass(frozen=True)
class Behaviour:
    """How pedestrians behave.

    Attributes:
        distraction: fraction of street crossings that start without looking.
        jaywalking: probability of crossing the street, at each gap between parked cars that a pedestrian passes.
        crossing: the same, at each crossing at an intersection.
        speed: lowest and highest walking speed, in metres per second.
        patience: seconds after which a waiting pedestrian walks on instead.

    Raises:
        ConfigError: a probability is not between 0 and 1, or a speed or time is out of range.
    """

    distraction: float = 0.0
    jaywalking: float = 0.06
    crossing: float = 0.5
    speed: tuple[float, float] = (1.1, 1.7)
    patience: float = 40.0

    def __post_init__(self) -> None:
        for name in ("distraction", "jaywalking", "crossing"):
            fraction = getattr(self, name)
            if not (is_number(fraction) and 0 <= fraction <= 1):
                raise ConfigError(f"pedestrians with {name} = {fraction!r}", expected="a fraction from 0 to 1")
        if not (is_pair(self.speed, is_number) and 0 < self.speed[0] <= self.speed[1] <= 5):
            raise ConfigError(
                f"pedestrians with speed = {self.speed!r}",
                expected="two speeds above 0 and at most 5 metres per second, the lower one first",
            )
        if not (is_number(self.patience) and self.patience > 0):
            raise ConfigError(f"pedestrians with patience = {self.patience!r}", expected="seconds above 0")


REASONABLE = Behaviour(distraction=0.0)
DISTRACTED = Behaviour(distraction=1.0)


@dataclass(frozen=True)
class Pedestrians:
    """All pedestrians, as arrays over their numbers.

    A block's pavement has four sides: 0 south, 1 east, 2 north, 3 west.  ``along`` is x on sides 0 and 2, y on the others.

    Attributes:
        block: (n, 2) the block that the pedestrian walks around, as indices of columns and rows.
        side: (n,) side of the block.
        along: (n,) metres, in the town's coordinates.
        forward: (n,) 1 if they walk towards larger coordinates, else -1.
        doing: (n,) ``WALK``, ``TO_KERB``, ``WAIT``, ``CROSS``, ``HALT`` or ``BACK``.
        progress: (n,) metres from their line on the pavement towards the other side of the street.
        distracted: (n,) bool, whether they cross without looking.
        waited: (n,) seconds, at the kerb or in front of a car on the street.
        speed: (n,) walking speed, metres per second.
    """

    block: np.ndarray
    side: np.ndarray
    along: np.ndarray
    forward: np.ndarray
    doing: np.ndarray
    progress: np.ndarray
    distracted: np.ndarray
    waited: np.ndarray
    speed: np.ndarray

    def __len__(self) -> int:
        return len(self.along)

    def select(self, numbers: np.ndarray) -> Pedestrians:
        """The pedestrians with these numbers."""
        return Pedestrians(*(column[numbers] for column in vars(self).values()))


@dataclass(frozen=True)
class Vehicles:
    """All moving cars as pedestrians see them, the agent's last: positions (n, 2), headings (n, 2), speeds (n,)."""

    positions: np.ndarray
    headings: np.ndarray
    speeds: np.ndarray


def spawn(town: Town, count: int, behaviour: Behaviour, generator: np.random.Generator) -> Pedestrians:
    """Pedestrians at random positions on the pavements."""
    wide, high = town.parks.shape
    block = np.stack([generator.integers(wide, size=count), generator.integers(high, size=count)], axis=1)
    side = generator.integers(4, size=count)
    low, high_end = side_limits(town, block, side)
    return Pedestrians(
        block=block,
        side=side,
        along=low + (high_end - low) * generator.random(count),
        forward=np.where(generator.random(count) < 0.5, 1.0, -1.0),
        doing=np.full(count, WALK),
        progress=np.zeros(count),
        distracted=np.zeros(count, bool),
        waited=np.zeros(count),
        speed=generator.uniform(*behaviour.speed, count),
    )


def positions(town: Town, people: Pedestrians) -> np.ndarray:
    """Positions (n, 2) of the pedestrians."""
    side, result = people.side, np.empty((len(people), 2))
    across = town.sides.walk[_at(people.block, side)] + OUTWARDS[side] * people.progress
    number, axis = np.arange(len(people)), side % 2
    result[number, axis], result[number, 1 - axis] = people.along, across
    return result


def velocities(people: Pedestrians) -> np.ndarray:
    """Velocities (n, 2) in metres per second."""
    return facing(people) * np.where((people.doing == WAIT) | (people.doing == HALT), 0.0, people.speed)[:, None]


def facing(people: Pedestrians) -> np.ndarray:
    """Directions (n, 2) that they face, unit vectors: across the street while they wait, else where they walk."""
    walks, back = people.doing == WALK, people.doing == BACK
    return FACING[people.side, np.where(walks, people.forward > 0, 2 + back)]


def are_standing(people: Pedestrians, town: Town, vehicles: Vehicles) -> np.ndarray:
    """Who does not move, (n,) bool: those who wait or have halted, and those whose way back is blocked by a car."""
    standing = (people.doing == WAIT) | (people.doing == HALT)
    back = np.flatnonzero(people.doing == BACK)
    if len(back):
        standing[back] = _car_in_the_way(people.select(back), town, vehicles)
    return standing


def on_street(town: Town, people: Pedestrians) -> np.ndarray:
    """Who is between the kerbs, (n,) bool."""
    return (people.progress > town.walk - town.kerb) & (people.progress < town.walk + town.kerb)


def move(
    people: Pedestrians,
    town: Town,
    behaviour: Behaviour,
    vehicles: Vehicles,
    seconds_now: float,
    seconds: float,
    generator: np.random.Generator,
) -> Pedestrians:
    """The pedestrians after ``seconds``, from time ``seconds_now`` of the traffic lights on."""
    n = len(people)
    draws = generator.random((3, n))
    doing, progress, waited = people.doing.copy(), people.progress.copy(), people.waited.copy()
    blocked = _blocked_on_pavement(people, town, vehicles)
    walking = (doing == WALK) & ~blocked
    distance = people.speed * seconds
    along = np.where(walking, people.along + people.forward * distance, people.along)
    wants, stop_at = _wants_to_cross(people, town, behaviour, along, draws[0])
    wants &= walking
    along = np.where(wants, stop_at, along)
    distracted = np.where(wants, draws[1] < behaviour.distraction, people.distracted)
    crossing = np.flatnonzero((people.doing == CROSS) | (people.doing == HALT))
    stays, halted = _car_in_the_way(people.select(crossing), town, vehicles), people.doing[crossing] == HALT
    stays[halted] |= _must_yield(people, town, vehicles, crossing[halted], 1)
    doing[crossing] = np.where(stays, HALT, CROSS)
    waited[crossing] = np.where(stays, waited[crossing] + seconds, 0.0)
    giving_up = crossing[waited[crossing] > HALTED_SECONDS]
    giving_up = giving_up[~_must_yield(people, town, vehicles, giving_up, -1)]
    doing[giving_up], waited[giving_up] = BACK, 0.0
    forwards = ((people.doing == TO_KERB) & ~blocked) | (doing == CROSS)
    returns = (people.doing == BACK) & ~are_standing(people, town, vehicles)
    progress = progress + np.where(forwards, distance, 0.0) - np.where(returns, distance, 0.0)

    at_kerb = town.walk - town.kerb - KERB_GAP
    arrived = (people.doing == TO_KERB) & (progress >= at_kerb)
    progress = np.where(arrived & ~distracted, at_kerb, progress)
    doing[arrived] = np.where(distracted[arrived], CROSS, WAIT)
    waiting = np.flatnonzero(people.doing == WAIT)
    waited[waiting] += seconds
    starting = waiting[may_cross(people, town, vehicles, seconds_now, waiting)]
    doing[starting], waited[starting] = CROSS, 0.0
    impatient = waiting[(waited[waiting] > behaviour.patience) & (doing[waiting] == WAIT)]
    doing[impatient], waited[impatient] = BACK, 0.0
    doing[wants] = TO_KERB
    back = (people.doing == BACK) & (progress <= 0)
    doing[back], progress[back] = WALK, 0.0
    along = np.where(back, along + people.forward * PAST, along)

    across = (doing == CROSS) & (progress >= 2 * town.walk)
    block = np.where(across[:, None], people.block + ACROSS[people.side], people.block)
    side = np.where(across, (people.side + 2) % 4, people.side)
    forward = np.where(across, np.where(draws[2] < 0.5, 1.0, -1.0), people.forward)
    doing[across], progress[across] = WALK, 0.0
    along = np.where(across, along + forward * PAST, along)
    distracted = distracted & ~across & ~back
    moved = Pedestrians(block, side, along, forward, doing, progress, distracted, waited, people.speed)
    return _round_corners(moved, town)


def may_cross(people: Pedestrians, town: Town, vehicles: Vehicles, seconds_now: float, chosen: np.ndarray) -> np.ndarray:
    """Whether each of the ``chosen`` pedestrians (n,), who look, sees that the street is free to cross, (n,) bool."""
    if not len(chosen):
        return np.zeros(0, bool)
    side, at = people.side[chosen], people.along[chosen]
    axis = side % 2
    crosses = 2 * town.kerb + KERB_GAP
    needed = crosses / people.speed[chosen]
    low, high = _segment(town, people.block[chosen], side)
    column, row = _intersection(people.block[chosen], side, at - low < high - at)
    with_lights = np.minimum(at - low, high - at) < CORNER
    red = red_left(town, seconds_now)[axis, column, row]

    seen = _look(people, town, vehicles, chosen)
    speeds = np.maximum(vehicles.speeds[None], CREEPING)
    in_the_way = seen.on_this_street & (seen.distance < NEAR_CAR)
    comes = (seen.coming | seen.turning) & (seen.distance / speeds < needed[:, None] + MARGIN_SECONDS)
    without_lights = ~(in_the_way | comes).any(axis=1)  # includes every car that cannot stop
    at_lights = (red >= needed) & ~(in_the_way | seen.cannot_stop).any(axis=1)
    return np.where(with_lights, at_lights, without_lights)


@dataclass(frozen=True)
class _Look:
    """What pedestrians see of the cars; all arrays are (n, m) for n pedestrians and m cars.

    Attributes:
        distance: metres along the street to the car's nearer end.
        aside: metres from the middle of the street to the car's centre.
        on_this_street: whether the car is on the street that the pedestrian wants to cross.
        coming: whether it drives towards the pedestrian on that street.
        turning: whether it turns, or may turn, into that street.
        cannot_stop: whether it comes or turns too fast to stop before the pedestrian.
    """

    distance: np.ndarray
    aside: np.ndarray
    on_this_street: np.ndarray
    coming: np.ndarray
    turning: np.ndarray
    cannot_stop: np.ndarray


def _look(people: Pedestrians, town: Town, vehicles: Vehicles, chosen: np.ndarray) -> _Look:
    """What the ``chosen`` pedestrians (n,) see."""
    side = people.side[chosen]
    axis = side % 2
    street = town.sides.street[_at(people.block[chosen], side)]
    low, high = _segment(town, people.block[chosen], side)
    u, aside = vehicles.positions.T[axis], vehicles.positions.T[1 - axis] - street[:, None]
    heading = vehicles.headings.T[axis]
    ahead = people.along[chosen][:, None] - u
    distance = np.maximum(np.abs(ahead) - CAR_LENGTH / 2, 0.0)
    on_this_street = np.abs(aside) < town.kerb + 1.0
    coming = on_this_street & (np.sign(ahead) * heading > 0.3)
    box = town.stop_line + CAR_LENGTH
    in_box = (np.abs(aside) < box) & ((np.abs(u - low[:, None]) < box) | (np.abs(u - high[:, None]) < box))
    turning = in_box & ~(on_this_street & (np.abs(heading) > 0.95))
    speeds = vehicles.speeds[None]
    stopping = speeds * REACTION_SECONDS + speeds * speeds / (2 * STOPPING_DECELERATION)
    cannot_stop = (coming | turning) & (speeds > 0.5) & (distance < stopping + NEAR_CAR)
    return _Look(distance, aside, on_this_street, coming, turning, cannot_stop)


def _must_yield(people: Pedestrians, town: Town, vehicles: Vehicles, chosen: np.ndarray, direction: int) -> np.ndarray:
    """Whether each of the ``chosen`` pedestrians (n,), who have halted on the street, would step in front of a car that
    cannot stop if they walked on across the street (``direction`` 1) or back (-1), (n,) bool.  Distracted pedestrians do not
    look, so the result is False."""
    must_yield = np.zeros(len(chosen), bool)
    if len(chosen) and len(looking := np.flatnonzero(~people.distracted[chosen])):
        attentive = chosen[looking]
        seen, outwards = _look(people, town, vehicles, attentive), OUTWARDS[people.side[attentive]]
        position = outwards * (people.progress[attentive] - town.walk)
        ahead = (seen.aside - position[:, None]) * (direction * outwards)[:, None]
        must_yield[looking] = (seen.cannot_stop & (seen.turning | (ahead > CAR_WIDTH / 2))).any(axis=1)
    return must_yield


def _blocked_on_pavement(people: Pedestrians, town: Town, vehicles: Vehicles) -> np.ndarray:
    """Whose way along a pavement or to the kerb is blocked by the agent's car, (n,) bool; no other car is ever there."""
    blocked = np.zeros(len(people), bool)
    own = Vehicles(vehicles.positions[-1:], vehicles.headings[-1:], vehicles.speeds[-1:])
    x, y = own.positions[0]
    if min(np.abs(town.columns - x).min(), np.abs(town.rows - y).min()) + REACH < town.kerb:
        return blocked  # the whole car is on a street
    near = (np.abs(positions(town, people) - own.positions) < REACH + ARM + BODY_RADIUS).all(axis=1)
    walks = np.flatnonzero(near & ((people.doing == WALK) | (people.doing == TO_KERB)))
    blocked[walks] = _car_in_the_way(people.select(walks), town, own)
    return blocked


def _car_in_the_way(people: Pedestrians, town: Town, vehicles: Vehicles) -> np.ndarray:
    """Whether a car is within an arm's length in front of each pedestrian, (n,) bool; even distracted ones notice it.

    Only a car that the pedestrian comes nearer to counts, so no car blocks both directions.
    """
    here = positions(town, people)
    gaps = _gaps(here + ARM * facing(people), vehicles)
    blocked = np.any(gaps < BODY_RADIUS, axis=1)
    close = np.flatnonzero(blocked)
    if len(close):
        blocked[close] = np.any((gaps[close] < BODY_RADIUS) & (gaps[close] < _gaps(here[close], vehicles) - 1e-6), axis=1)
    return blocked


def _gaps(points: np.ndarray, vehicles: Vehicles) -> np.ndarray:
    """Distances (n, m) of points (n, 2) from each car, along it or across it, whichever is larger; negative inside."""
    x, y = (points[:, None, axis] - vehicles.positions[None, :, axis] for axis in (0, 1))
    cos, sin = vehicles.headings.T
    along, across = np.abs(x * cos + y * sin), np.abs(y * cos - x * sin)
    return np.maximum(along - CAR_LENGTH / 2, across - CAR_WIDTH / 2)


def _wants_to_cross(
    people: Pedestrians, town: Town, behaviour: Behaviour, along: np.ndarray, draw: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Who passes a place to cross the street and decides to cross, (n,) bool, and the coordinate of that place (n,).

    ``along`` (n,) is where they would be after the step, ``draw`` (n,) uniform random numbers.
    """
    low, high = _segment(town, people.block, people.side)
    before, after = np.minimum(people.along, along), np.maximum(people.along, along)
    number = np.floor((after - low - CORNER) / SLOT)
    gap = low + CORNER + number * SLOT
    at_gap = (gap > before) & (gap <= after) & (gap >= low + CORNER) & (gap <= high - CORNER)
    at_low = (low + town.crossing > before) & (low + town.crossing <= after)
    at_high = (high - town.crossing > before) & (high - town.crossing <= after)
    chance = np.where(at_gap, behaviour.jaywalking, np.where(at_low | at_high, behaviour.crossing, 0.0))
    crossing_place = np.where(at_gap, gap, np.where(at_low, low + town.crossing, high - town.crossing))
    return (draw < chance) & town.sides.faces_a_block[_at(people.block, people.side)], crossing_place


def _round_corners(people: Pedestrians, town: Town) -> Pedestrians:
    """Moves pedestrians who are past the end of their side of the block to the next side."""
    low, high = side_limits(town, people.block, people.side)
    turned = np.flatnonzero(((people.along > high) | (people.along < low)) & (people.doing == WALK))
    if not len(turned):
        return people
    side, along, forward = people.side.copy(), people.along.copy(), people.forward.copy()
    before, past_high = people.side[turned], people.along[turned] > high[turned]
    along_x = before % 2 == 0
    side[turned] = np.where(along_x, np.where(past_high, 1, 3), np.where(past_high, 2, 0))
    low, high = side_limits(town, people.block[turned], side[turned])
    from_low = (along_x & (before == 0)) | (~along_x & (before == 3))
    along[turned], forward[turned] = np.where(from_low, low, high), np.where(from_low, 1.0, -1.0)
    return replace(people, side=side, along=along, forward=forward)


def _at(block: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of sides of blocks (n, 2) into the arrays of :class:`weakspot.envs.driving.town.Sides`."""
    return block[:, 0], block[:, 1], side


def _segment(town: Town, block: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n,) of the centres of the intersections at both ends of the street along a side."""
    at = _at(block, side)
    return town.sides.low[at], town.sides.high[at]


def _intersection(block: np.ndarray, side: np.ndarray, at_low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column and row (n,) of the intersection at the low or high end of the street along a side."""
    along_x = side % 2 == 0
    end = np.where(at_low, 0, 1)
    column = np.where(along_x, block[:, 0] + end, block[:, 0] + (side == 1))
    row = np.where(along_x, block[:, 1] + (side == 2), block[:, 1] + end)
    return column, row


def side_limits(town: Town, block: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n,) at which the walk along a side starts and ends."""
    low, high = _segment(town, block, side)
    return low + town.walk, high - town.walk

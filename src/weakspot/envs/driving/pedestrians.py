"""People on foot: they walk round the blocks and cross streets, with or without a look.

One model with the parameters of :class:`Behaviour` makes reasonable and distracted ones.  Who wants to cross goes to the
kerb.  There a reasonable one waits: at a crossing with lights until the cars have red for long enough and none is near that
cannot stop; elsewhere until no car will come by while he is on the street.  A distracted one walks on without a look, his
eyes on his phone.  Nobody walks into the side of a car: he halts before it, and goes back where it does not drive on.  Who
looks does so again before he leaves where he halted, forwards or back: not in front of a car that cannot stop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from weakspot.envs.driving.signals import red_left
from weakspot.envs.driving.town import CAR_LENGTH, CAR_WIDTH, CORNER, OUTWARDS, SLOT, Town, are_two, is_number
from weakspot.errors import ConfigError

WALK, TO_KERB, WAIT, CROSS, HALT, BACK = range(6)
"""What a pedestrian is doing; to halt is to stand on the street, a car right in front of one."""
KERB_GAP = 0.4
"""From where somebody waits to the kerb."""
STOPPING_DECELERATION, REACTION_SECONDS = 6.0, 0.7
"""Of a car that somebody might step in front of."""
NEAR_CAR = 3.0
"""Metres between somebody's way over the street and a car that stands on it, or as good as."""
MARGIN_SECONDS = 1.5
CREEPING = 4.0
"""Metres a second at which cars that stand or creep are expected to come."""
HALTED_SECONDS = 3.0
"""For so long somebody stands on the street before a car that does not drive on."""
BODY_RADIUS, BODY_HEIGHT = 0.3, 1.75
STEP_OVER = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]])
"""Of each side of a block: the way to the one over the street."""
FACING = np.array(
    [[[-on, on - 1], [on, 1 - on], STEP_OVER[side], -STEP_OVER[side]] for side, on in enumerate((1, 0, 1, 0))], np.float64
)
"""Where somebody on each side looks who walks towards smaller coordinates, or larger ones, or over the street, or back."""
ARM = 0.4
"""Metres in front of somebody that he sees without a look."""
REACH = float(np.hypot(CAR_LENGTH, CAR_WIDTH)) / 2
"""Metres from the middle of a car to its corners."""
PAST = 0.01
"""Metres past the place to cross at which somebody walks on, so that he does not come by it again at once."""


@dataclass(frozen=True)
class Behaviour:
    """How pedestrians behave.

    Attributes:
        distraction: share of the crossings that are begun without a look.
        jaywalking: chance of wanting to cross, at each gap between parked cars that somebody walks by.
        crossing: the same, at each crossing at an intersection.
        speed: slowest and fastest walk, metres a second.
        patience: seconds after which somebody who waits walks on instead.

    Raises:
        ConfigError: a chance is none, or a speed or time is not above 0.
    """

    distraction: float = 0.0
    jaywalking: float = 0.06
    crossing: float = 0.5
    speed: tuple[float, float] = (1.1, 1.7)
    patience: float = 40.0

    def __post_init__(self) -> None:
        for name in ("distraction", "jaywalking", "crossing"):
            share = getattr(self, name)
            if not (is_number(share) and 0 <= share <= 1):
                raise ConfigError(f"pedestrians with {name} = {share!r}", expected="a share from 0 to 1")
        if not (are_two(self.speed, is_number) and 0 < self.speed[0] <= self.speed[1] <= 5):
            raise ConfigError(
                f"pedestrians with speed = {self.speed!r}",
                expected="two speeds above 0 and at most 5 metres a second, the slowest first",
            )
        if not (is_number(self.patience) and self.patience > 0):
            raise ConfigError(f"pedestrians with patience = {self.patience!r}", expected="seconds above 0")


REASONABLE = Behaviour(distraction=0.0)
DISTRACTED = Behaviour(distraction=1.0)


@dataclass(frozen=True)
class Pedestrians:
    """Everybody on foot, as arrays over their numbers.

    A block's pavement has four sides: 0 south, 1 east, 2 north, 3 west.  ``along`` is x on sides 0 and 2, y on the others.

    Attributes:
        block: (n, 2) the block each walks round, as indices of columns and rows.
        side: (n,).
        along: (n,) metres, in the town's coordinates.
        forward: (n,) 1 or -1, whether he walks towards larger coordinates.
        doing: (n,) ``WALK``, ``TO_KERB``, ``WAIT``, ``CROSS``, ``HALT`` or ``BACK``.
        progress: (n,) metres from his way along the pavement, towards the other side of the street.
        distracted: (n,) bool, whether he crosses without a look.
        waited: (n,) seconds, at the kerb or before a car on the street.
        speed: (n,) of his walk.
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

    def chosen(self, numbers: np.ndarray) -> Pedestrians:
        """Some of them."""
        return Pedestrians(*(column[numbers] for column in vars(self).values()))


@dataclass(frozen=True)
class Vehicles:
    """Every moving car as pedestrians see it, the agent's the last of them: places (n, 2), headings (n, 2), speeds (n,)."""

    places: np.ndarray
    headings: np.ndarray
    speeds: np.ndarray


def spawn(town: Town, count: int, behaviour: Behaviour, generator: np.random.Generator) -> Pedestrians:
    """Pedestrians all over the pavements of the blocks."""
    wide, high = town.parks.shape
    block = np.stack([generator.integers(wide, size=count), generator.integers(high, size=count)], axis=1)
    side = generator.integers(4, size=count)
    low, high_end = _ends(town, block, side)
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


def places(town: Town, people: Pedestrians) -> np.ndarray:
    """Where they are (n, 2)."""
    side, found = people.side, np.empty((len(people), 2))
    across = town.sides.walk[_at(people.block, side)] + OUTWARDS[side] * people.progress
    number, axis = np.arange(len(people)), side % 2
    found[number, axis], found[number, 1 - axis] = people.along, across
    return found


def velocities(people: Pedestrians) -> np.ndarray:
    """How they move (n, 2), metres a second."""
    return facing(people) * np.where((people.doing == WAIT) | (people.doing == HALT), 0.0, people.speed)[:, None]


def facing(people: Pedestrians) -> np.ndarray:
    """Where they look (n, 2), unit vectors: over the street while they wait at it, else where they go."""
    walks, back = people.doing == WALK, people.doing == BACK
    return FACING[people.side, np.where(walks, people.forward > 0, 2 + back)]


def stand(people: Pedestrians, town: Town, vehicles: Vehicles) -> np.ndarray:
    """Who does not move (n,): those who wait or have halted, and those whose way back a car is in."""
    found = (people.doing == WAIT) | (people.doing == HALT)
    back = np.flatnonzero(people.doing == BACK)
    if len(back):
        found[back] = _car_in_the_way(people.chosen(back), town, vehicles)
    return found


def on_street(town: Town, people: Pedestrians) -> np.ndarray:
    """Who is between the kerbs (n,)."""
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
    """The pedestrians after ``seconds``, which begin at ``seconds_now``."""
    n = len(people)
    draws = generator.random((3, n))
    doing, progress, waited = people.doing.copy(), people.progress.copy(), people.waited.copy()
    held = _held_up(people, town, vehicles)
    walking = (doing == WALK) & ~held
    way = people.speed * seconds
    along = np.where(walking, people.along + people.forward * way, people.along)
    wants, stop_at = _wants_to_cross(people, town, behaviour, along, draws[0])
    wants &= walking
    along = np.where(wants, stop_at, along)
    distracted = np.where(wants, draws[1] < behaviour.distraction, people.distracted)
    over = np.flatnonzero((people.doing == CROSS) | (people.doing == HALT))
    stays, halted = _car_in_the_way(people.chosen(over), town, vehicles), people.doing[over] == HALT
    stays[halted] |= _must_let_by(people, town, vehicles, over[halted], 1)
    doing[over] = np.where(stays, HALT, CROSS)
    waited[over] = np.where(stays, waited[over] + seconds, 0.0)
    gives_up = over[waited[over] > HALTED_SECONDS]
    gives_up = gives_up[~_must_let_by(people, town, vehicles, gives_up, -1)]
    doing[gives_up], waited[gives_up] = BACK, 0.0
    out = ((people.doing == TO_KERB) & ~held) | (doing == CROSS)
    returns = (people.doing == BACK) & ~stand(people, town, vehicles)
    progress = progress + np.where(out, way, 0.0) - np.where(returns, way, 0.0)

    at_kerb = town.walk - town.kerb - KERB_GAP
    arrived = (people.doing == TO_KERB) & (progress >= at_kerb)
    progress = np.where(arrived & ~distracted, at_kerb, progress)
    doing[arrived] = np.where(distracted[arrived], CROSS, WAIT)
    waiting = np.flatnonzero(people.doing == WAIT)
    waited[waiting] += seconds
    goes = waiting[may_cross(people, town, vehicles, seconds_now, waiting)]
    doing[goes], waited[goes] = CROSS, 0.0
    tired = waiting[(waited[waiting] > behaviour.patience) & (doing[waiting] == WAIT)]
    doing[tired], waited[tired] = BACK, 0.0
    doing[wants] = TO_KERB
    back = (people.doing == BACK) & (progress <= 0)
    doing[back], progress[back] = WALK, 0.0
    along = np.where(back, along + people.forward * PAST, along)

    across = (doing == CROSS) & (progress >= 2 * town.walk)
    block = np.where(across[:, None], people.block + STEP_OVER[people.side], people.block)
    side = np.where(across, (people.side + 2) % 4, people.side)
    forward = np.where(across, np.where(draws[2] < 0.5, 1.0, -1.0), people.forward)
    doing[across], progress[across] = WALK, 0.0
    along = np.where(across, along + forward * PAST, along)
    distracted = distracted & ~across & ~back
    moved = Pedestrians(block, side, along, forward, doing, progress, distracted, waited, people.speed)
    return _round_corners(moved, town)


def may_cross(people: Pedestrians, town: Town, vehicles: Vehicles, seconds_now: float, chosen: np.ndarray) -> np.ndarray:
    """Whether each of the ``chosen`` pedestrians, who look, sees that he can cross now."""
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
    anywhere = ~(in_the_way | comes).any(axis=1)  # who cannot stop comes sooner than that
    at_lights = (red >= needed) & ~(in_the_way | seen.cannot_stop).any(axis=1)
    return np.where(with_lights, at_lights, anywhere)


@dataclass(frozen=True)
class _Look:
    """What people see of the cars, all (n, m) for n people and m cars.

    Attributes:
        distance: metres along the street to a car's nearer end.
        aside: of a car's middle from that of the street.
        on_this_street: whether it is on theirs.
        coming: whether it drives towards them along that.
        turning: whether it is about to turn into it, or may be.
        cannot_stop: whether it comes or turns too fast to stop before them.
    """

    distance: np.ndarray
    aside: np.ndarray
    on_this_street: np.ndarray
    coming: np.ndarray
    turning: np.ndarray
    cannot_stop: np.ndarray


def _look(people: Pedestrians, town: Town, vehicles: Vehicles, chosen: np.ndarray) -> _Look:
    """What the ``chosen`` ones see."""
    side = people.side[chosen]
    axis = side % 2
    street = town.sides.street[_at(people.block[chosen], side)]
    low, high = _segment(town, people.block[chosen], side)
    u, aside = vehicles.places.T[axis], vehicles.places.T[1 - axis] - street[:, None]
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


def _must_let_by(people: Pedestrians, town: Town, vehicles: Vehicles, chosen: np.ndarray, way: int) -> np.ndarray:
    """Whether each of the ``chosen``, who have halted on the street, sees a car that cannot stop, into whose path he would
    step going on over the street (``way`` 1) or back (-1).  Who is on the phone does not look, and sees none."""
    found = np.zeros(len(chosen), bool)
    if len(chosen) and len(looking := np.flatnonzero(~people.distracted[chosen])):
        who = chosen[looking]
        seen, outwards = _look(people, town, vehicles, who), OUTWARDS[people.side[who]]
        before_him = (seen.aside - (outwards * (people.progress[who] - town.walk))[:, None]) * (way * outwards)[:, None]
        found[looking] = (seen.cannot_stop & (seen.turning | (before_him > CAR_WIDTH / 2))).any(axis=1)
    return found


def _held_up(people: Pedestrians, town: Town, vehicles: Vehicles) -> np.ndarray:
    """Who cannot walk on along a pavement, or to the kerb, for the agent's car (n,): no other ever stands there."""
    held = np.zeros(len(people), bool)
    own = Vehicles(vehicles.places[-1:], vehicles.headings[-1:], vehicles.speeds[-1:])
    x, y = own.places[0]
    if min(np.abs(town.columns - x).min(), np.abs(town.rows - y).min()) + REACH < town.kerb:
        return held  # all of it is on a street
    near = (np.abs(places(town, people) - own.places) < REACH + ARM + BODY_RADIUS).all(axis=1)
    walks = np.flatnonzero(near & ((people.doing == WALK) | (people.doing == TO_KERB)))
    held[walks] = _car_in_the_way(people.chosen(walks), town, own)
    return held


def _car_in_the_way(people: Pedestrians, town: Town, vehicles: Vehicles) -> np.ndarray:
    """Whether a car is within an arm's length in front of each (n,); even on the phone nobody walks into the side of one.
    A car that he comes no nearer to is not in his way, so that none is both ahead of him and behind."""
    here = places(town, people)
    soon = _gaps(here + ARM * facing(people), vehicles)
    found = np.any(soon < BODY_RADIUS, axis=1)
    close = np.flatnonzero(found)
    if len(close):
        found[close] = np.any((soon[close] < BODY_RADIUS) & (soon[close] < _gaps(here[close], vehicles) - 1e-6), axis=1)
    return found


def _gaps(spots: np.ndarray, vehicles: Vehicles) -> np.ndarray:
    """How far spots (n, 2) are from each car (n, m), lengthwise or sideways, whichever is more; below 0 inside."""
    x, y = (spots[:, None, axis] - vehicles.places[None, :, axis] for axis in (0, 1))
    cos, sin = vehicles.headings.T
    along, across = np.abs(x * cos + y * sin), np.abs(y * cos - x * sin)
    return np.maximum(along - CAR_LENGTH / 2, across - CAR_WIDTH / 2)


def _wants_to_cross(
    people: Pedestrians, town: Town, behaviour: Behaviour, along: np.ndarray, draw: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Who walks by a place to cross and wants to (n,), and where that place is (n,)."""
    low, high = _segment(town, people.block, people.side)
    before, after = np.minimum(people.along, along), np.maximum(people.along, along)
    number = np.floor((after - low - CORNER) / SLOT)
    gap = low + CORNER + number * SLOT
    at_gap = (gap > before) & (gap <= after) & (gap >= low + CORNER) & (gap <= high - CORNER)
    at_low = (low + town.crossing > before) & (low + town.crossing <= after)
    at_high = (high - town.crossing > before) & (high - town.crossing <= after)
    chance = np.where(at_gap, behaviour.jaywalking, np.where(at_low | at_high, behaviour.crossing, 0.0))
    place = np.where(at_gap, gap, np.where(at_low, low + town.crossing, high - town.crossing))
    return (draw < chance) & town.sides.faces_a_block[_at(people.block, people.side)], place


def _round_corners(people: Pedestrians, town: Town) -> Pedestrians:
    """Who has come to the end of his side of the block goes on round the corner."""
    low, high = _ends(town, people.block, people.side)
    turned = np.flatnonzero(((people.along > high) | (people.along < low)) & (people.doing == WALK))
    if not len(turned):
        return people
    side, along, forward = people.side.copy(), people.along.copy(), people.forward.copy()
    before, over = people.side[turned], people.along[turned] > high[turned]
    along_x = before % 2 == 0
    side[turned] = np.where(along_x, np.where(over, 1, 3), np.where(over, 2, 0))
    low, high = _ends(town, people.block[turned], side[turned])
    from_low = np.where(along_x, before == 0, before == 3)
    along[turned], forward[turned] = np.where(from_low, low, high), np.where(from_low, 1.0, -1.0)
    return replace(people, side=side, along=along, forward=forward)


def _at(block: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where sides of blocks (n, 2) are in what :class:`weakspot.envs.driving.town.Sides` holds."""
    return block[:, 0], block[:, 1], side


def _segment(town: Town, block: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middles of the intersections at both ends of the street beside a side (n,)."""
    at = _at(block, side)
    return town.sides.low[at], town.sides.high[at]


def _intersection(block: np.ndarray, side: np.ndarray, at_low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column and row (n,) of the intersection at an end of the street beside a side."""
    along_x = side % 2 == 0
    end = np.where(at_low, 0, 1)
    column = np.where(along_x, block[:, 0] + end, block[:, 0] + (side == 1))
    row = np.where(along_x, block[:, 1] + (side == 2), block[:, 1] + end)
    return column, row


def _ends(town: Town, block: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the walk along a side begins and ends (n,)."""
    low, high = _segment(town, block, side)
    return low + town.walk, high - town.walk

"""The rules of the town: each one stated in the docstrings, compared with simulations."""

import hashlib
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakspot.envs.driving import bicycle, pedestrians, signals
from weakspot.envs.driving import traffic as traffic_rules
from weakspot.envs.driving.bicycle import (
    BRAKE,
    DRAG,
    MAX_LATERAL_ACCELERATION,
    MAX_SPEED,
    WHEELBASE,
    Car,
    drive,
    steer_limit,
)
from weakspot.envs.driving.lanes import LEFT, RIGHT, STRAIGHT, build_lanes
from weakspot.envs.driving.overlap import box_hits_boxes, box_hits_posts
from weakspot.envs.driving.pedestrians import BODY_RADIUS, CROSS, TO_KERB, WAIT, Behaviour
from weakspot.envs.driving.town import TownConfig, build_town
from weakspot.envs.driving.world import HALF_SIZE, SECONDS, World, WorldConfig
from weakspot.errors import ConfigError, SnapshotError


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a, np.float64).tobytes() for a in arrays)).hexdigest()[:16]


def far_away(world):
    """Moves the agent's car far away from all others."""
    world.state = replace(world.state, car=replace(world.state.car, x=-500.0, y=-500.0))
    return world


def put(world, x, y, heading, speed=0.0):
    """Places the middle of the agent's car at (x, y)."""
    cos, sin = math.cos(heading), math.sin(heading)
    world.state = replace(world.state, car=Car(x - 1.35 * cos, y - 1.35 * sin, heading, speed))
    return world


# -- town and lanes


def test_same_seed_gives_the_same_town_on_every_machine():
    town = build_town(TownConfig(seed=3))
    found = digest(
        town.columns, town.rows, town.parks, town.buildings.centre, town.buildings.high, town.parked.centre, town.trees
    )
    assert found == "7bcfcec3e5e3cd34"
    assert digest(build_town(TownConfig(seed=4)).buildings.centre) != digest(town.buildings.centre)


@pytest.mark.parametrize(
    "wrong",
    [
        {"blocks": (0, 3)},
        {"blocks": (1, 1)},
        {"blocks": (3, 40)},
        {"block_size": (120.0, 80.0)},
        {"block_size": (20.0, 80.0)},
        {"lane_width": 1.0},
        {"parking": 1.5},
        {"trees": -0.1},
        {"seed": -1},
    ],
)
def test_invalid_towns_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        TownConfig(**wrong)


def test_invalid_worlds_are_refused():
    with pytest.raises(ConfigError, match="at most"):
        WorldConfig(TownConfig(blocks=(1, 2)), cars=500)
    with pytest.raises(ConfigError, match="at least 0"):
        WorldConfig(cars=-1)
    with pytest.raises(ConfigError, match="fraction from 0 to 1"):
        Behaviour(distraction=1.2)
    with pytest.raises(ConfigError, match="speeds above 0"):
        Behaviour(speed=(2.0, 1.0))


@given(st.integers(0, 50))
@settings(max_examples=10)
def test_nothing_stands_on_the_street(seed):
    town = build_town(TownConfig(seed=seed, blocks=(3, 2)))
    kerb = town.kerb
    for boxes, margin in ((town.buildings, kerb), (town.parked, town.config.lane_width)):
        reach = np.abs(boxes.heading) * boxes.half[:, :1] + np.abs(boxes.heading[:, ::-1]) * boxes.half[:, 1:]
        low, high = boxes.centre - reach, boxes.centre + reach
        for axis, streets in ((0, town.columns), (1, town.rows)):
            inside = (low[:, axis, None] < streets + margin) & (high[:, axis, None] > streets - margin)
            if boxes is town.parked:  # next to the lanes of their own street, and never near a crossing one
                along = np.abs(boxes.heading[:, axis]) > 0.5
                inside = inside & ~along[:, None]
            assert not inside.any()


def test_lanes_continue_where_the_previous_one_ends():
    lanes = build_lanes(build_town(TownConfig(seed=1, blocks=(3, 4))))
    for lane in range(len(lanes)):
        end, heading = lanes.pose(np.array([lane]), lanes.length[[lane]])
        for successor in lanes.successors[lane][lanes.successors[lane] >= 0]:
            start, start_heading = lanes.pose(np.array([successor]), np.zeros(1))
            assert np.allclose(start, end) and np.allclose(start_heading, heading)
        assert (lanes.successors[lane] >= 0).any()


def test_only_paths_that_cross_conflict():
    lanes = build_lanes(build_town(TownConfig(seed=1, blocks=(2, 2))))
    middle = [c for c in range(lanes.straight, len(lanes)) if tuple(lanes.intersection[c]) == (1, 1)]
    connectors = {(int(lanes.begins[c]), int(lanes.bend[c])): c for c in middle}
    assert lanes.conflicts[connectors[0, 0], connectors[1, 0]]  # straight on from the west and from the south
    assert lanes.conflicts[connectors[0, 2], connectors[2, 0]]  # a left turn and oncoming traffic
    assert not lanes.conflicts[connectors[0, 0], connectors[2, 0]]  # both straight on, in opposite directions
    assert not lanes.conflicts[connectors[0, 1], connectors[2, 1]]
    assert (lanes.conflicts == lanes.conflicts.T).all() and not lanes.conflicts.diagonal().any()


# -- the agent's car


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, MAX_SPEED), st.floats(-3, 3))
def test_the_car_follows_the_bicycle_model(steer, pedal, speed, heading):
    car = Car(3.0, -2.0, heading, speed, 0.3 * steer_limit(speed))
    after = drive(car, steer, pedal, SECONDS)
    steps, x, y, turned = 20_000, car.x, car.y, car.heading
    distance = (car.speed + after.speed) / 2 * SECONDS / steps  # the equation, in tiny steps
    for _ in range(steps):
        middle = turned + distance * math.tan(after.steer) / WHEELBASE / 2
        x, y = x + distance * math.cos(middle), y + distance * math.sin(middle)
        turned += distance * math.tan(after.steer) / WHEELBASE
    assert abs(after.x - x) < 1e-5 and abs(after.y - y) < 1e-5
    assert abs(math.remainder(after.heading - turned, 2 * math.pi)) < 1e-5


@given(st.floats(-1, 1), st.floats(0, MAX_SPEED))
def test_lateral_acceleration_is_limited(steer, speed):
    car = Car(0.0, 0.0, 0.0, speed, math.copysign(steer_limit(speed), -steer))
    for _ in range(20):
        car = drive(car, steer, 1.0, SECONDS)
        assert 0 <= car.speed <= MAX_SPEED
        assert car.speed**2 * abs(math.tan(car.steer)) / WHEELBASE <= MAX_LATERAL_ACCELERATION * (1 + 1e-5)


def test_braking_distance_matches_the_deceleration():
    car, distance = Car(0.0, 0.0, 0.0, 14.0), 0.0
    while car.speed > 0:
        before, car = car, drive(car, 0.0, -1.0, SECONDS)
        distance += car.x - before.x
    assert distance == pytest.approx(14.0**2 / 2 / (BRAKE + DRAG), rel=0.03)


def test_controls_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="from -1 to 1"):
        World(WorldConfig(cars=0, people=0)).step(1.5, 0.0)
    with pytest.raises(ConfigError, match="from -1 to 1"):
        World(WorldConfig(cars=0, people=0)).step(0.0, math.nan)


# -- overlap


def clipped(first, second):
    """Area of the part two convex polygons share, by Sutherland and Hodgman."""
    for a, b in zip(second, np.roll(second, -1, axis=0), strict=True):
        kept = []
        for p, q in zip(first, np.roll(first, -1, axis=0), strict=True):
            side = [(b[0] - a[0]) * (r[1] - a[1]) - (b[1] - a[1]) * (r[0] - a[0]) for r in (p, q)]
            if side[0] >= 0:
                kept.append(p)
            if side[0] * side[1] < 0:
                kept.append(p + (q - p) * side[0] / (side[0] - side[1]))
        first = np.array(kept)
        if len(first) < 3:
            return 0.0
    x, y = first.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def corners(middle, angle, half):
    ahead, left = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    return np.array([middle + a * half[0] * ahead + b * half[1] * left for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))])


box = st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-4, 4), st.floats(0.3, 3), st.floats(0.3, 3))


@given(box, box)
@settings(max_examples=300)
def test_boxes_overlap_exactly_if_they_share_an_area(one, other):
    def parts(b):
        return np.array(b[:2]), np.array([math.cos(b[2]), math.sin(b[2])]), np.array(b[3:])

    hit = box_hits_boxes(*parts(one), *(part[None] for part in parts(other)))[0]
    area = clipped(corners(np.array(one[:2]), one[2], one[3:]), corners(np.array(other[:2]), other[2], other[3:]))
    if hit and area == 0:  # they only touch: slightly smaller boxes do not overlap
        smaller = (*one[:3], one[3] - 1e-6, one[4] - 1e-6)
        assert not box_hits_boxes(*parts(smaller), *(part[None] for part in parts(other)))[0]
    else:
        assert hit == (area > 0)


@given(box, st.floats(-5, 5), st.floats(-5, 5))
def test_a_post_is_hit_when_it_is_near_enough(one, x, y):
    outline = corners(np.array(one[:2]), one[2], one[3:])
    point = np.array([x, y])
    local = np.abs(
        np.array(
            [(point - one[:2]) @ v for v in ((math.cos(one[2]), math.sin(one[2])), (-math.sin(one[2]), math.cos(one[2])))]
        )
    )
    distance = (
        0.0
        if (local <= one[3:]).all()
        else min(
            float(np.linalg.norm(a + (b - a) * t - point))
            for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True)
            for t in [np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)]
        )
    )
    hit = box_hits_posts(
        np.array(one[:2]), np.array([math.cos(one[2]), math.sin(one[2])]), np.array(one[3:]), point[None], 0.3
    )
    if abs(distance - 0.3) > 1e-6:
        assert bool(hit[0]) == (distance <= 0.3)


# -- traffic


@pytest.fixture(scope="module", params=[0, 1])
def simulated(request):
    """Two and a half minutes of a town: the states before and after each step."""
    world = World(WorldConfig(TownConfig(seed=request.param)))
    world.reset(request.param)
    far_away(world)
    steps = []
    for _ in range(1500):
        before, lights, positions, feet = world.state, world.lights, world.cars(), world.pedestrian_positions()
        world.step(0.0, -1.0)
        steps.append((before, lights, positions, feet, world.state))
    return world, steps


def test_cars_do_not_run_into_each_other(simulated):
    _, steps = simulated
    for _, _, (positions, headings), _, _ in steps:
        halves = np.broadcast_to(HALF_SIZE, positions.shape)
        for car in range(len(positions)):
            others = np.arange(len(positions)) != car
            assert not box_hits_boxes(
                positions[car], headings[car], HALF_SIZE, positions[others], headings[others], halves[others]
            ).any()


def test_cars_stop_at_red_lights_and_drive_at_green(simulated):
    world, steps = simulated
    entered = 0
    for before, lights, _, _, after in steps:
        enters = (before.traffic.lane < world.lanes.straight) & (after.traffic.lane >= world.lanes.straight)
        for lane in before.traffic.lane[enters]:
            column, row = world.lanes.intersection[lane]
            assert lights[world.lanes.begins[lane] % 2, column, row] != signals.RED
            entered += 1
    assert entered > 60


def test_all_cars_make_progress(simulated):
    _, steps = simulated
    distance = sum(np.linalg.norm(b[2][0] - a[2][0], axis=1) for a, b in itertools.pairwise(steps))
    assert distance.min() > 200 and np.median(distance) > 450


def test_cars_do_not_hit_attentive_people(simulated):
    _, steps = simulated
    for _, _, (positions, headings), feet, _ in steps:
        for position, heading in zip(positions, headings, strict=True):
            assert not box_hits_posts(
                position, heading, HALF_SIZE, feet[(np.abs(feet - position) < 5).all(axis=1)], BODY_RADIUS
            ).any()


def test_lights_of_crossing_streets_are_never_green_together():
    town = build_town(TownConfig(seed=0))
    for seconds in np.arange(0, 2 * signals.CYCLE, 0.1):
        lights = signals.lights(town, float(seconds))[:, town.signalled]
        assert (lights == signals.RED).any(axis=0).all()
        left = signals.red_left(town, float(seconds))[:, town.signalled]
        assert ((left > 0) == (lights == signals.RED)).all()


def test_remaining_time_of_red_lights_is_correct():
    town = build_town(TownConfig(seed=0))
    left = signals.red_left(town, 20.0)
    inner = left > 0
    for offset, is_red in ((-0.05, True), (0.05, False)):
        later = np.array(
            [
                signals.lights(town, 20.0 + float(seconds) + offset)[at] == signals.RED
                for at, seconds in zip(zip(*np.nonzero(inner), strict=True), left[inner], strict=True)
            ]
        )
        assert (later == is_red).all()


# -- people


def test_attentive_people_never_step_in_front_of_a_car_that_cannot_stop(simulated):
    world, steps = simulated
    stepped = 0
    for before, _, (positions, headings), feet, after in steps:
        for person in np.flatnonzero((before.people.doing == WAIT) & (after.people.doing == CROSS)):
            stepped += 1
            axis = int(before.people.side[person]) % 2
            for position, heading, speed in zip(positions, headings, before.traffic.speed, strict=True):
                towards = (feet[person, axis] - position[axis]) * heading[axis] > 0
                on_this_street = (
                    abs(position[1 - axis] - feet[person, 1 - axis]) < 2 * world.town.kerb + 1 and abs(heading[axis]) > 0.9
                )
                if towards and on_this_street and speed > 0.5:
                    bumper = abs(feet[person, axis] - position[axis]) - HALF_SIZE[0]
                    assert bumper > speed**2 / (2 * BRAKE) + 0.5 * speed
    assert stepped > 100


def test_attentive_people_cross_at_intersections_only_while_cars_have_red(simulated):
    world, steps = simulated
    at_lights = 0
    for before, lights, _, feet, after in steps:
        for person in np.flatnonzero((before.people.doing == WAIT) & (after.people.doing == CROSS)):
            column = int(np.abs(world.town.columns - feet[person, 0]).argmin())
            row = int(np.abs(world.town.rows - feet[person, 1]).argmin())
            near = max(abs(world.town.columns[column] - feet[person, 0]), abs(world.town.rows[row] - feet[person, 1])) < 10
            if near:
                at_lights += 1
                assert lights[int(before.people.side[person]) % 2, column, row] == signals.RED
    assert at_lights > 50


def test_people_walk_on_pavements_and_cross_streets_at_right_angles(simulated):
    world, steps = simulated
    town = world.town
    for before, _, _, feet, _ in steps[::20]:
        apart_x = np.abs(feet[:, :1] - town.columns).min(axis=1)
        apart_y = np.abs(feet[:, 1:] - town.rows).min(axis=1)
        assert (np.minimum(apart_x, apart_y) <= town.walk + 1e-3).all()
        walks = before.people.doing == pedestrians.WALK
        assert (np.minimum(apart_x, apart_y)[walks] >= town.kerb).all()
    crossed = (steps[0][0].people.block != steps[-1][0].people.block).any(axis=1)
    assert crossed.mean() > 0.2


@pytest.mark.parametrize("distraction", [0.0, 0.3, 1.0])
def test_share_of_distracted_people_matches_the_setting(distraction):
    world = far_away(World(WorldConfig(cars=0, people=600, behaviour=Behaviour(distraction=distraction))))
    looked = went = 0
    for _ in range(900):
        before = world.state.people.doing
        world.step(0.0, -1.0)
        after = world.state.people.doing
        looked += int(((before == TO_KERB) & (after == WAIT)).sum())
        went += int(((before == TO_KERB) & (after == CROSS)).sum())
    share, total = went / (looked + went), looked + went
    assert total > 500
    assert abs(share - distraction) <= 4 * math.sqrt(distraction * (1 - distraction) / total)


def test_nobody_waits_between_intersections_without_cars():
    world = far_away(World(WorldConfig(cars=0, people=400, behaviour=Behaviour(crossing=0.0))))
    waits = 0
    for _ in range(600):
        world.step(0.0, -1.0)
        waits = max(waits, int((world.state.people.doing == WAIT).sum()))
        assert world.state.people.waited.max() <= 2 * SECONDS
    assert waits > 0


def approaching(people=0):
    """A world with one car that is about to drive along a lane, and the places along that lane."""
    world = far_away(World(WorldConfig(TownConfig(seed=0, parking=0.0), cars=1, people=people)))
    lanes = world.lanes
    number = np.arange(lanes.straight)
    inner = lanes.intersection[number, 1 - lanes.begins[number] % 2] > 0  # with a block to the south or west
    lane = int(np.where(inner, lanes.length[: lanes.straight], 0.0).argmax())
    world.state = replace(
        world.state,
        traffic=replace(
            world.state.traffic,
            lane=np.array([lane]), along=np.array([5.0]), speed=np.array([9.0]), after=lanes.successors[[lane], 0],
        ),
    )  # fmt: skip
    return world, lambda along: tuple(part[0] for part in lanes.pose(np.array([lane]), np.array([along])))


def place_pedestrian(world, position, heading, doing):
    """Places the only person of a world on a lane, crossing it."""
    town = world.town
    axis = 0 if abs(heading[0]) > 0.5 else 1  # of the street
    streets = town.rows if axis == 0 else town.columns
    street = streets[np.abs(streets - position[1 - axis]).argmin()]
    side = {0: 2, 1: 1}[axis]  # people of the block to the south or west cross towards larger coordinates
    block = [int((town.columns < position[0]).sum()) - 1, int((town.rows < position[1]).sum()) - 1]
    block[1 - axis] = int(streets.searchsorted(street - 1)) - 1
    people = world.state.people
    world.state = replace(
        world.state,
        people=replace(
            people,
            block=np.array([block]), side=np.array([side]), along=np.array([position[axis]]), doing=np.array([doing]),
            progress=np.array([position[1 - axis] - street + town.walk]), speed=np.array([1e-6]),
        ),
    )  # fmt: skip
    assert np.allclose(world.pedestrian_positions()[0], position)


@pytest.mark.parametrize("doing", [CROSS, pedestrians.HALT])
def test_a_car_stops_for_a_person_on_its_lane(doing):
    world, lane = approaching(people=1)
    place_pedestrian(world, *lane(45.0), doing)
    for _ in range(150):
        world.step(0.0, -1.0)
    assert world.state.traffic.speed[0] < 0.1
    assert 45.0 - HALF_SIZE[0] - 5.0 < world.state.traffic.along[0] < 45.0 - HALF_SIZE[0]


@pytest.mark.parametrize("turned", [0.0, 0.5, 1.0, math.pi / 2])
@pytest.mark.parametrize("aside", [0.0, 1.2, 2.0])
def test_other_cars_do_not_run_into_a_standing_one(turned, aside):
    world, lane = approaching()
    position, heading = lane(45.0)
    left = np.array([-heading[1], heading[0]])
    put(world, *(position + aside * left).tolist(), math.atan2(heading[1], heading[0]) + turned)
    for _ in range(200):
        assert world.step(0.0, -1.0).cause != "car"


def test_people_do_not_walk_into_the_side_of_a_car():
    world, lane = approaching(people=1)
    position, heading = lane(45.0)
    put(world, *position.tolist(), math.atan2(heading[1], heading[0]))  # a standing car in the person's way
    ahead = np.array([-heading[1], heading[0]])
    start = position - 2.5 * (ahead if ahead.sum() > 0 else -ahead)
    place_pedestrian(world, start, heading, CROSS)
    world.state = replace(
        world.state, people=replace(world.state.people, speed=np.array([1.4]), distracted=np.array([True]))
    )
    world.state = replace(world.state, traffic=replace(world.state.traffic, along=np.array([1.0]), speed=np.zeros(1)))
    doing = []
    for _ in range(100):
        assert world.step(0.0, -1.0).cause is None
        doing.append(int(world.state.people.doing[0]))
    assert doing[20] == pedestrians.HALT and doing.count(pedestrians.HALT) == pytest.approx(30, abs=1), (
        "then the person goes back"
    )
    assert CROSS not in doing[20:]


def test_person_halted_by_a_waiting_car_goes_back():
    """The car comes out of a turn at an angle, right in front of the person."""
    west = into_the_middle(2)
    connector = turn(west, LEFT)
    world = far_away(World(WorldConfig(TownConfig(seed=0, blocks=(2, 2), parking=0.0), cars=1, people=1)))
    coming = cars((connector, -5.0, 0.0, int(CROSSROADS.successors[connector, 0])))
    (position,), (ahead,) = CROSSROADS.pose(coming.lane, coming.along)
    place_pedestrian(world, position + (HALF_SIZE[0] + 0.2) * ahead, np.array([0.0, -1.0]), CROSS)
    people = replace(world.state.people, speed=np.array([1.4]), distracted=np.array([True]))
    world.state = replace(world.state, people=people, traffic=coming)
    doing = []
    while world.state.people.doing[0] != pedestrians.WALK:
        world.step(0.0, -1.0)
        people = world.state.people
        doing.append(int(people.doing[0]))
        assert len(doing) < 150
    assert doing[:29] == [pedestrians.HALT] * 29 and set(doing[32:-1]) == {pedestrians.BACK}
    assert not people.distracted[0] and people.waited[0] == 0 and people.progress[0] == 0
    for _ in range(50):
        world.step(0.0, -1.0)
    assert world.state.traffic.lane[0] != connector


def test_halted_person_continues_when_the_car_is_gone():
    world, lane = approaching(people=1)
    position, heading = lane(45.0)
    put(world, *position.tolist(), math.atan2(heading[1], heading[0]), 0.0)
    ahead = np.abs(np.array([-heading[1], heading[0]]))
    place_pedestrian(world, position - 1.6 * ahead, heading, CROSS)
    world.state = replace(world.state, people=replace(world.state.people, speed=np.array([1.4])))
    for _ in range(20):
        world.step(0.0, -1.0)
    assert world.state.people.doing[0] == pedestrians.HALT and world.state.people.waited[0] == pytest.approx(2.0)
    far_away(world).step(0.0, -1.0)
    assert world.state.people.doing[0] == CROSS and world.state.people.waited[0] == 0


def test_people_do_not_walk_into_a_car_on_their_way_back():
    world, lane = approaching(people=1)
    position, heading = lane(45.0)
    ahead = np.abs(np.array([-heading[1], heading[0]]))
    put(world, *(position - 3.0 * ahead).tolist(), math.atan2(heading[1], heading[0]))
    place_pedestrian(world, position, heading, pedestrians.BACK)
    world.state = replace(world.state, people=replace(world.state.people, speed=np.array([1.4])))
    for _ in range(60):
        assert world.step(0.0, -1.0).cause is None
    stood = world.pedestrian_positions()[0].copy()
    assert 1.2 < abs(stood - position + 3.0 * ahead).max() < 1.8
    world.step(0.0, -1.0)
    assert (world.pedestrian_positions()[0] == stood).all() and world.state.people.doing[0] == pedestrians.BACK
    far_away(world).step(0.0, -1.0)
    assert np.linalg.norm(world.pedestrian_positions()[0] - stood) == pytest.approx(0.14, abs=1e-3)


def halted_in_the_middle(gap, distracted=False, waited=1.0):
    """A person who stands in the middle of a street while the agent's car approaches at 14 metres a second, ``gap`` metres
    away on the lane ahead of the person, or on the lane behind if ``gap`` is negative."""
    world = World(WorldConfig(TownConfig(seed=0, parking=0.0), cars=0, people=1))
    town = world.town
    x, y = (town.columns[1] + town.columns[2]) / 2, town.rows[2]
    place_pedestrian(world, np.array([x, y]), np.array([1.0, 0.0]), pedestrians.HALT)
    people = replace(world.state.people, speed=np.array([1.4]), distracted=np.array([distracted]), waited=np.array([waited]))
    world.state = replace(world.state, people=people)
    ahead = 1 if gap > 0 else -1  # traffic keeps to the right
    return put(
        world, float(x) + ahead * (abs(gap) + HALF_SIZE[0]), float(y) + 1.75 * ahead, math.pi if gap > 0 else 0.0, 14.0
    )


@pytest.mark.parametrize(("gap", "then"), [(6.0, CROSS), (8.0, CROSS), (11.0, pedestrians.HALT), (14.0, CROSS)])
def test_attentive_person_does_not_continue_in_front_of_a_car_that_cannot_stop(gap, then):
    """At full brakes the car stops after eleven metres: before, right in front of, or beyond the person."""
    world = halted_in_the_middle(gap)
    for _ in range(40):
        assert world.step(0.0, -1.0).cause is None
    assert world.state.people.doing[0] == then
    on_the_phone = halted_in_the_middle(8.0, distracted=True)
    assert cause_of(on_the_phone, 40, pedal=-1.0) == "pedestrian"


def test_attentive_person_continues_before_a_car_that_can_stop_and_behind_one_that_cannot():
    for world in (halted_in_the_middle(60.0), halted_in_the_middle(-8.0)):
        world.step(0.0, -1.0)
        assert world.state.people.doing[0] == CROSS


def test_attentive_person_does_not_go_back_in_front_of_a_car_that_cannot_stop():
    """A car stands ahead of the person, another one approaches from behind."""
    world = halted_in_the_middle(-10.0, waited=pedestrians.HALTED_SECONDS + 1)
    standing = pedestrians.Vehicles(
        world.pedestrian_positions() + np.array([[0.0, 1.5]]), np.array([[1.0, 0.0]]), np.zeros(1)
    )
    agents_car = world.state.car
    approaching_car = pedestrians.Vehicles(
        np.array([agents_car.middle]), np.array([agents_car.direction]), np.array([agents_car.speed])
    )
    both = pedestrians.Vehicles(
        *(
            np.concatenate([getattr(standing, name), getattr(approaching_car, name)])
            for name in ("positions", "headings", "speeds")
        )
    )

    def decision(vehicles, distracted=False):
        people = replace(world.state.people, distracted=np.array([distracted]))
        moved = pedestrians.move(people, world.town, Behaviour(), vehicles, 0.0, SECONDS, np.random.default_rng(0))
        return moved.doing[0]

    assert decision(both) == pedestrians.HALT
    assert decision(standing) == decision(both, distracted=True) == pedestrians.BACK


@pytest.mark.parametrize("doing", [pedestrians.WALK, TO_KERB])
def test_people_on_a_pavement_do_not_walk_into_a_standing_car(doing):
    """The front of the car is over the kerb; when the car is gone, the person walks on."""
    world = World(WorldConfig(TownConfig(seed=0, parking=0.0, trees=0.0), cars=0, people=1))
    town = world.town
    x, y = (town.columns[1] + town.columns[2]) / 2, town.rows[2] - town.kerb
    put(world, float(x), float(y) + 0.5, -math.pi / 2)
    behind = 3.0 if doing == pedestrians.WALK else 0.0
    depth = town.walk - town.kerb
    people = replace(
        world.state.people,
        block=np.array([[1, 1]]), side=np.array([2]), along=np.array([x - behind]), forward=np.ones(1),
        doing=np.array([doing]), progress=np.array([0.0 if behind else depth - 2.9]), speed=np.array([1.4]),
    )  # fmt: skip
    world.state = replace(world.state, people=people)
    for _ in range(60):
        assert world.step(0.0, -1.0).cause is None
    stood = world.pedestrian_positions()[0].copy()
    world.step(0.0, -1.0)
    assert (world.pedestrian_positions()[0] == stood).all() and world.state.people.doing[0] == doing
    far_away(world).step(0.0, -1.0)
    assert np.linalg.norm(world.pedestrian_positions()[0] - stood) == pytest.approx(0.14, abs=1e-3)


def test_person_waiting_at_lights_sees_cars_that_turn_into_the_street():
    world, _ = at_the_kerb(from_low=build_town(TownConfig()).crossing)
    town = world.town
    axis = int(world.state.people.side[0]) % 2
    (person,) = world.pedestrian_positions()
    middle = np.array([s[np.abs(s - at).argmin()] for s, at in zip((town.columns, town.rows), person, strict=True)])
    column, row = (int(np.abs(s - at).argmin()) for s, at in zip((town.columns, town.rows), middle, strict=True))
    red = next(s for s in np.arange(0, signals.CYCLE, 0.5) if signals.red_left(town, float(s))[axis, column, row] > 15)
    along_the_other = np.eye(2)[1 - axis]
    assert not may_cross(world, middle, along_the_other, 8.0, red), "it may still turn into the street"
    assert may_cross(world, middle, along_the_other, 0.2, red), "it stands still"


@pytest.mark.parametrize("doing", [CROSS, pedestrians.BACK])
def test_person_close_to_a_bumper_is_not_blocked_by_it(doing):
    world, lane = approaching(people=1)
    position, heading = lane(45.0)
    put(world, *(position - (HALF_SIZE[0] + 0.29) * heading).tolist(), math.atan2(heading[1], heading[0]))
    place_pedestrian(world, position, heading, doing)
    world.state = replace(world.state, people=replace(world.state.people, speed=np.array([1.4])))
    world.step(0.0, -1.0)
    assert world.state.people.doing[0] == doing
    assert np.linalg.norm(world.pedestrian_positions()[0] - position) == pytest.approx(0.14, abs=1e-3)


def test_cars_pass_a_person_whose_way_back_is_blocked():
    world, lane = approaching(people=1)
    position, heading = lane(45.0)
    ahead = np.abs(np.array([-heading[1], heading[0]]))
    put(world, *(position - 3.0 * ahead).tolist(), math.atan2(heading[1], heading[0]))
    place_pedestrian(world, position - 1.5 * ahead, heading, pedestrians.BACK)
    world.state = replace(world.state, people=replace(world.state.people, speed=np.array([1.4])))
    for _ in range(80):
        world.step(0.0, -1.0)
        assert world.state.people.doing[0] == pedestrians.BACK
    assert world.state.traffic.along[0] > 55 or world.state.traffic.lane[0] >= world.lanes.straight


@pytest.mark.parametrize(("seed", "distraction"), [(2, 1.0), (3, 1.0), (2, 0.0)])
def test_cars_and_people_do_not_wait_for_each_other_forever(seed, distraction):
    world = World(WorldConfig(TownConfig(seed=seed), behaviour=Behaviour(distraction=distraction)))
    world.reset(seed)
    far_away(world)
    halted, stood = np.zeros(len(world.state.people)), np.zeros(len(world.state.traffic))
    for _ in range(2000):
        world.step(0.0, -1.0)
        halted = np.where(world.state.people.doing == pedestrians.HALT, halted + SECONDS, 0.0)
        stood = np.where(world.state.traffic.speed < 0.05, stood + SECONDS, 0.0)
        assert halted.max() <= pedestrians.HALTED_SECONDS + 0.05 + 3 * (distraction == 0), "attentive people let cars pass"
        assert stood.max() < 2 * signals.CYCLE, "cars that turn left may miss a green light"


def test_person_who_waits_too_long_walks_on():
    world, lane = approaching(people=1)
    world.config = replace(world.config, behaviour=Behaviour(patience=3.0, jaywalking=1.0, crossing=1.0))
    position, heading = lane(45.0)
    put(world, *position.tolist(), math.atan2(heading[1], heading[0]))  # in the way of people who want to cross
    place_pedestrian(world, position, heading, WAIT)
    at_kerb = world.town.walk - world.town.kerb - pedestrians.KERB_GAP
    world.state = replace(
        world.state, people=replace(world.state.people, progress=np.array([at_kerb]), speed=np.array([1.4]))
    )
    doing = []
    for _ in range(60):
        world.step(0.0, -1.0)
        doing.append(int(world.state.people.doing[0]))
    assert doing[:29] == [WAIT] * 29 and pedestrians.BACK in doing and doing[-1] == pedestrians.WALK
    assert CROSS not in doing


def at_the_kerb(from_low):
    """A world with a person who waits to cross a lane, ``from_low`` metres from the middle of the intersection where its
    street begins; and a function that returns the place of a car ``before`` metres away from the person on that street."""
    world, lane = approaching(people=1)
    number = world.state.traffic.lane
    position, heading = lane(from_low - world.town.stop_line)
    if heading.sum() < 0:
        position, heading = lane(world.lanes.length[number[0]] + world.town.stop_line - from_low)
    place_pedestrian(world, position, heading, WAIT)
    at_kerb = world.town.walk - world.town.kerb - pedestrians.KERB_GAP
    people = replace(world.state.people, progress=np.array([at_kerb]), speed=np.array([1.4]))
    elsewhere = np.flatnonzero(world.lanes.begins[: world.lanes.straight] % 2 != world.lanes.begins[number[0]] % 2)[:1]
    traffic = replace(world.state.traffic, lane=elsewhere, after=world.lanes.successors[elsewhere, 0])
    world.state = replace(world.state, people=people, traffic=traffic)
    return world, lambda before: (position - before * heading, heading)


def may_cross(world, position, heading, speed, seconds=0.0):
    """Whether the waiting person may cross while a car is at a place."""
    car = pedestrians.Vehicles(position[None], heading[None], np.array([float(speed)]))
    return bool(pedestrians.may_cross(world.state.people, world.town, car, seconds, np.array([0]))[0])


def test_attentive_person_between_intersections_waits_for_approaching_cars():
    world, car = at_the_kerb(from_low=55.0)
    assert not may_cross(world, *car(30.0), 11.0), "it could stop, but approaches"
    assert not may_cross(world, *car(60.0), 11.0) and not may_cross(world, *car(20.0), 2.0)
    assert may_cross(world, *car(130.0), 11.0) and may_cross(world, *car(60.0), 0.0), "there is time"
    assert may_cross(world, *car(-10.0), 11.0), "it has passed"
    assert not may_cross(world, *car(-4.0), 0.0), "it stands in the way"


def test_attentive_person_at_lights_waits_for_cars_that_cannot_stop():
    world, car = at_the_kerb(from_low=build_town(TownConfig()).crossing)
    town = world.town
    (person,) = world.pedestrian_positions()
    column, row = (int(np.abs(s - at).argmin()) for s, at in zip((town.columns, town.rows), person, strict=True))
    axis = int(world.state.people.side[0]) % 2
    red = next(s for s in np.arange(0, signals.CYCLE, 0.5) if signals.red_left(town, float(s))[axis, column, row] > 15)
    late = next(s for s in np.arange(red, red + 20, 0.5) if 0 < signals.red_left(town, float(s))[axis, column, row] < 5)
    (car_position, heading) = car(15.0)
    assert may_cross(world, car_position, heading, 0.0, red) and may_cross(world, car_position, heading, 5.0, red)
    assert not may_cross(world, car_position, heading, 14.0, red), "it cannot stop"
    assert not may_cross(world, car_position, heading, 0.0, late), "there is no time"


@pytest.mark.parametrize(("before", "speed", "crosses"), [(40.0, 14.0, False), (20.0, 5.0, False), (-12.0, 14.0, True)])
def test_attentive_person_sees_the_agents_car(before, speed, crosses):
    world, car = at_the_kerb(from_low=55.0)
    position, heading = car(before)
    put(world, *position.tolist(), math.atan2(heading[1], heading[0]), speed)
    for _ in range(3):
        world.step(0.0, 0.0)
    assert (world.state.people.doing[0] == CROSS) == crosses


def test_share_of_people_who_cross_matches_the_settings():
    world = far_away(World(WorldConfig(cars=0, people=500)))
    town, n = world.town, 500
    passed, went = np.zeros(2), np.zeros(2)
    for _ in range(400):
        before = world.state.people
        world.step(0.0, -1.0)
        at = before.block[:, 0], before.block[:, 1], before.side
        low, high = town.sides.low[at], town.sides.high[at]
        gaps = low[:, None] + 14.0 + 6.5 * np.arange(20)
        gaps = np.where(gaps <= high[:, None] - 14.0, gaps, np.nan)
        crossings = np.stack([low + town.crossing, high - town.crossing], axis=1)
        ends = before.along, before.along + before.forward * before.speed * SECONDS
        walks = (before.doing == pedestrians.WALK) & town.sides.faces_a_block[at]
        for kind, spots in enumerate((gaps, crossings)):
            passing = walks & ((spots > np.minimum(*ends)[:, None]) & (spots <= np.maximum(*ends)[:, None])).any(axis=1)
            passed[kind] += passing.sum()
            went[kind] += (passing & (world.state.people.doing == TO_KERB)).sum()
    assert len(world.state.people) == n and passed.min() > 200
    for chance, share, number in zip((0.06, 0.5), went / passed, passed, strict=True):
        assert abs(share - chance) <= 4 * math.sqrt(chance * (1 - chance) / number)


def test_person_who_has_crossed_walks_on():
    world = far_away(World(WorldConfig(cars=0, people=500, behaviour=Behaviour(distraction=1.0, jaywalking=0.3))))
    arrived = again = 0
    for _ in range(500):
        before = world.state.people.doing
        world.step(0.0, -1.0)
        landed = (before == CROSS) & (world.state.people.doing == pedestrians.WALK)
        arrived += int(landed.sum())
        world.step(0.0, -1.0)
        again += int((world.state.people.doing[landed] == TO_KERB).sum())
    assert arrived > 200 and again < 0.1 * arrived


def test_cars_stop_at_amber_if_they_can():
    world, _ = approaching()
    lanes, number = world.lanes, int(world.state.traffic.lane[0])
    length, (column, row) = lanes.length[number], lanes.intersection[number]
    axis = lanes.begins[number] % 2
    green = np.full((2, *world.town.signalled.shape), signals.GREEN)
    for gap, stops in ((30.0, True), (4.0, False)):
        amber = green.copy()
        amber[axis, column, row] = signals.AMBER
        traffic = replace(world.state.traffic, along=np.array([length - gap]))
        assert traffic_rules.must_stop(traffic, lanes, amber, FAR_OFF)[0] == stops


# -- rules of traffic, on otherwise empty streets


CROSSROADS = build_lanes(build_town(TownConfig(seed=0, blocks=(2, 2))))
ALL_GREEN = np.full((2, 3, 3), signals.GREEN)
FAR_OFF = traffic_rules.AgentCar(np.array([-500.0, -500.0]), np.array([1.0, 0.0]), 0.0)
NOBODY = traffic_rules.Obstacles(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))


def into_the_middle(heading):
    """The lane with this heading that leads to the intersection in the middle."""
    lanes = CROSSROADS
    leads = (lanes.intersection[: lanes.straight] == 1).all(axis=1) & (lanes.begins[: lanes.straight] == heading)
    (lane,) = np.flatnonzero(leads)
    return int(lane)


def turn(lane, bend):
    """The connector with this bend that continues a lane."""
    (connector,) = [after for after in CROSSROADS.successors[lane] if after >= 0 and CROSSROADS.bend[after] == bend]
    return int(connector)


def cars(*each):
    """Cars, each given by its lane, metres along it (from its end if negative), speed and next lane."""
    lane, along, speed, after = (np.array(column) for column in zip(*each, strict=True))
    along = np.where(along < 0, CROSSROADS.length[lane] + along, along).astype(float)
    return traffic_rules.Traffic(lane, along, speed.astype(float), after, np.ones(len(lane)))


def simulate(traffic, seconds, lights=ALL_GREEN):
    """The states of the cars, step by step."""
    generator, states = np.random.default_rng(0), [traffic]
    for _ in range(round(seconds / SECONDS)):
        positions = CROSSROADS.pose(states[-1].lane, states[-1].along)[0]
        states.append(traffic_rules.move(states[-1], CROSSROADS, lights, positions, NOBODY, FAR_OFF, SECONDS, generator))
    return states


def test_cars_that_turn_left_wait_for_oncoming_traffic():
    east, west, north = (into_the_middle(heading) for heading in (0, 2, 1))
    left = (east, -3.0, 4.0, turn(east, LEFT))

    def waits(*other, lights=ALL_GREEN):
        return bool(traffic_rules.must_stop(cars(left, other), CROSSROADS, lights, FAR_OFF)[0])

    near, far = -20.0, -60.0
    assert waits(west, near, 9.0, turn(west, STRAIGHT)) and waits(west, near, 9.0, turn(west, RIGHT))
    assert not waits(west, near, 9.0, turn(west, LEFT)), "two cars that turn left pass each other"
    assert not waits(west, far, 9.0, turn(west, STRAIGHT)), "there is time"
    assert not waits(north, near, 9.0, turn(north, STRAIGHT)), "there is no oncoming traffic"
    for bend in (STRAIGHT, RIGHT):
        ahead = (east, -3.0, 4.0, turn(east, bend))
        both = cars(ahead, (west, near, 9.0, turn(west, STRAIGHT)))
        assert not traffic_rules.must_stop(both, CROSSROADS, ALL_GREEN, FAR_OFF)[0]


def test_cars_that_turn_left_go_when_the_others_have_passed():
    east, west = into_the_middle(0), into_the_middle(2)
    states = simulate(cars((east, -6.0, 3.0, turn(east, LEFT)), (west, -25.0, 9.0, turn(west, STRAIGHT))), 15)
    turned = next(i for i, state in enumerate(states) if state.lane[0] != east)
    passed = next(i for i, state in enumerate(states) if state.lane[1] not in (west, turn(west, STRAIGHT)))
    assert passed - 3 < turned < passed + 60


def test_cars_do_not_enter_an_intersection_that_they_could_not_leave():
    east = into_the_middle(0)
    connector = turn(east, STRAIGHT)
    beyond = int(CROSSROADS.successors[connector, 0])
    waiting = (east, -3.0, 4.0, connector)

    def stops(along, speed):
        car_beyond = (beyond, along, speed, int(CROSSROADS.successors[beyond, 0]))
        return bool(traffic_rules.must_stop(cars(waiting, car_beyond), CROSSROADS, ALL_GREEN, FAR_OFF)[0])

    assert stops(3.0, 0.0) and stops(6.0, 1.0)
    assert not stops(3.0, 8.0), "it moves on"
    assert not stops(30.0, 0.0), "there is room behind it"
    jam = (beyond, 3.0, 0.0, int(CROSSROADS.successors[beyond, 0]))
    for _ in range(80):
        both = cars(waiting, jam)
        positions = CROSSROADS.pose(both.lane, both.along)[0]
        moved = traffic_rules.move(
            both, CROSSROADS, ALL_GREEN, positions, NOBODY, FAR_OFF, SECONDS, np.random.default_rng(0)
        )
        waiting = (int(moved.lane[0]), float(moved.along[0]), float(moved.speed[0]), connector)
        assert waiting[0] == east
    assert waiting[2] < 0.1


def test_only_one_of_two_crossing_cars_enters():
    east, north, west = into_the_middle(0), into_the_middle(1), into_the_middle(2)

    def stop(other):
        both = cars((east, -2.0, 4.0, turn(east, STRAIGHT)), (other, -3.0, 4.0, turn(other, STRAIGHT)))
        return traffic_rules.must_stop(both, CROSSROADS, ALL_GREEN, FAR_OFF).tolist()

    assert stop(north) == [False, True]
    assert stop(west) == [False, False], "they pass each other"


@pytest.mark.parametrize("bend", [LEFT, RIGHT])
def test_cars_are_slow_in_bends(bend):
    east = into_the_middle(0)
    states = simulate(cars((east, -60.0, 10.0, turn(east, bend))), 20)
    inside = [float(state.speed[0]) for state in states if CROSSROADS.bend[state.lane[0]] == bend]
    assert len(inside) > 5 and max(inside) < 1.3 * traffic_rules.TURN_SPEED
    straight = simulate(cars((east, -60.0, 10.0, turn(east, STRAIGHT))), 20)
    assert max(float(state.speed[0]) for state in straight) > 1.8 * traffic_rules.TURN_SPEED


@pytest.mark.parametrize("pace", [0.0, 4.0, 8.0])
def test_cars_keep_their_distance(pace):
    """Behind a car of any speed they converge to the gap of the intelligent driver model, and the gap is never less than
    half of the standing gap."""
    east = into_the_middle(0)
    after, ahead, along, speed = turn(east, STRAIGHT), 78.0, 40.0, 10.0
    gaps = []
    for _ in range(400):  # in the frame of the car ahead
        both = cars((east, along, speed, after), (east, ahead, pace, after))
        gap, of_leader = traffic_rules._leader(both, CROSSROADS)
        gaps.append(float(gap[0]))
        acceleration = max(float(traffic_rules._follow(both.speed, gap, of_leader)[0]), -traffic_rules.MAX_BRAKING)
        along += (speed - pace) * SECONDS
        speed = max(speed + acceleration * SECONDS, 0.0)
    assert min(gaps) > traffic_rules.STANDING_GAP / 2
    desired = traffic_rules.STANDING_GAP + pace * traffic_rules.HEADWAY
    assert gaps[-1] == pytest.approx(desired / math.sqrt(1 - (pace / traffic_rules.CRUISE) ** 4), rel=0.12)


def test_cars_make_progress_at_the_maximum_number_of_cars():
    config = TownConfig(seed=1, blocks=(2, 2))
    with pytest.raises(ConfigError, match="at most") as caught:
        WorldConfig(config, cars=10**6)
    most = int(str(caught.value).split("at most ")[1].split(",")[0])
    world = far_away(World(WorldConfig(config, cars=most, people=0)))
    distance = np.zeros(most)
    for _ in range(1200):
        before = world.cars()[0]
        world.step(0.0, -1.0)
        distance += np.linalg.norm(world.cars()[0] - before, axis=1)
    assert distance.min() > 50


def test_an_agents_car_in_the_way_stops_the_traffic():
    world, lane = approaching()
    spot, heading = lane(45.0)
    put(world, *spot.tolist(), math.atan2(heading[1], heading[0]))
    for _ in range(150):
        world.step(0.0, -1.0)
    traffic = world.state.traffic
    assert traffic.speed[0] < 0.1
    assert 45.0 - 2 * HALF_SIZE[0] - 4.0 < traffic.along[0] < 45.0 - 2 * HALF_SIZE[0]


# -- traffic gives way to the agent's car


MIDDLE = CROSSROADS.centre[CROSSROADS.straight :][(CROSSROADS.intersection[CROSSROADS.straight :] == 1).all(axis=1)][0]


def agent_car(lane, beyond, speed, turned=0.0):
    """The agent's car, ``beyond`` metres past the end of a lane, turned to the left."""
    (end,), ((cos, sin),) = CROSSROADS.pose(np.array([lane]), CROSSROADS.length[[lane]])
    angle = math.atan2(sin, cos) + turned
    return traffic_rules.AgentCar(end + beyond * np.array([cos, sin]), np.array([math.cos(angle), math.sin(angle)]), speed)


def gives_way(car, of_agent):
    return bool(traffic_rules.must_stop(cars(car), CROSSROADS, ALL_GREEN, of_agent)[0])


HOLDING_PEDAL = bicycle.DRAG / bicycle.THROTTLE
"""The pedal at which the agent's car keeps its speed."""


def meeting(car, lane, beyond, speed, light):
    """A world with one other car and the agent's, which is ``beyond`` metres past the end of a lane, while the light for
    traffic along x is ``light`` for at least six seconds."""
    world = World(WorldConfig(TownConfig(seed=0, blocks=(2, 2), parking=0.0), cars=1, people=0))
    assert (world.lanes.length == CROSSROADS.length).all()
    started = next(
        start
        for start in range(340)
        if all(signals.lights(world.town, (start + k) * SECONDS)[0, 1, 1] == light for k in (0, 60))
    )
    agents_car = agent_car(lane, beyond, speed)
    put(world, *agents_car.position.tolist(), math.atan2(agents_car.heading[1], agents_car.heading[0]), speed)
    world.state = replace(world.state, traffic=cars(car), started=started, decisions=0)
    return world


@pytest.mark.parametrize("gap", [10.0, 20.0, 30.0])
@pytest.mark.parametrize("speed", [8.0, 11.0, 14.0])
def test_cars_that_turn_left_wait_for_the_agents_car(gap, speed):
    east, west = into_the_middle(0), into_the_middle(2)
    world = meeting((west, -3.0, 4.0, turn(west, LEFT)), east, -gap, speed, signals.GREEN)
    turned = False
    for _ in range(90):
        outcome = world.step(0.0, HOLDING_PEDAL)
        assert outcome.cause != "car"
        turned = turned or world.state.traffic.lane[0] != west
        has_passed = world.state.car.middle[0] > MIDDLE[0]
        assert has_passed or not turned
        if outcome.cause:
            break  # it has reached the edge of the town
    assert turned


def test_agents_car_that_stands_or_is_far_away_blocks_nobody():
    east, west = into_the_middle(0), into_the_middle(2)
    left = (west, -3.0, 4.0, turn(west, LEFT))
    assert gives_way(left, agent_car(east, -30.0, 9.0)) and gives_way(left, agent_car(east, -4.0, 1.5))
    assert not gives_way(left, agent_car(east, -60.0, 9.0)), "there is time"
    assert not gives_way(left, agent_car(east, -20.0, 9.0, turned=math.pi)), "it drives away"
    assert not gives_way(left, agent_car(west, -20.0, 9.0)), "it comes from behind"
    assert not gives_way((west, -3.0, 4.0, turn(west, STRAIGHT)), agent_car(east, -20.0, 9.0))
    assert not gives_way(left, agent_car(east, -3.0, 0.8)), "it almost stands"
    assert not gives_way(left, agent_car(east, -CROSSROADS.length[east] - 1.0, 40.0)), "it is not on that lane yet"
    assert not gives_way(left, agent_car(east, -2.5, 0.0))
    world = meeting(left, east, -2.5, 0.0, signals.GREEN)
    for _ in range(60):
        assert world.step(0.0, -1.0).cause is None
    assert world.state.traffic.lane[0] != west


def test_cars_do_not_enter_an_intersection_where_the_agents_car_crosses_their_path():
    east, north, west, south = (into_the_middle(heading) for heading in range(4))
    inside = agent_car(east, 4.0, 8.0)
    for lane, bend, waits in (
        (north, STRAIGHT, True), (south, STRAIGHT, True), (south, LEFT, True), (north, RIGHT, True), (west, LEFT, True),
        (west, STRAIGHT, False), (west, RIGHT, False), (south, RIGHT, False),
        (east, STRAIGHT, False), (east, LEFT, False), (east, RIGHT, False),
    ):  # fmt: skip
        car = (lane, -3.0, 4.0, turn(lane, bend))
        assert gives_way(car, inside) == waits, (lane, bend)
        assert not gives_way(car, agent_car(east, 2 * CROSSROADS.stop_line + 3.0, 8.0)), "it has left"
    across = agent_car(east, CROSSROADS.stop_line, 0.0, turned=math.pi / 4)
    assert gives_way((north, -3.0, 4.0, turn(north, STRAIGHT)), across), "it stands in the way"


@pytest.mark.parametrize("speed", [3.0, 5.0, 8.0])
@pytest.mark.parametrize("heading", [1, 3])
@pytest.mark.parametrize("gap", [5.0, 10.0, 20.0])
def test_agents_car_that_crosses_late_is_not_cut_off(speed, heading, gap):
    east, other = into_the_middle(0), into_the_middle(heading)
    world = meeting((other, -gap, 8.0, turn(other, STRAIGHT)), east, 1.0, speed, signals.RED)
    for _ in range(100):
        cause = world.step(0.0, HOLDING_PEDAL).cause
        assert cause != "car"
        if cause:
            break  # it has reached the edge of the town
    assert world.state.car.middle[0] > MIDDLE[0] + 20 and world.state.traffic.lane[0] != other


# -- how episodes end


def cause_of(world, decisions, steer=0.0, pedal=1.0):
    for _ in range(decisions):
        if cause := world.step(steer, pedal).cause:
            return cause
    return None


@pytest.fixture
def empty():
    world = World(WorldConfig(TownConfig(seed=0, trees=0.0, parking=0.0), cars=0, people=0))
    world.reset(0)
    return world


def test_driving_along_a_lane_does_not_end_the_episode(empty):
    lane_y = empty.town.rows[1] - empty.town.config.lane_width / 2
    put(empty, empty.town.columns[1] + 12.0, lane_y, 0.0, 5.0)
    out = empty.step(0.0, 0.0)
    assert out.cause is None and out.along == pytest.approx(out.distance) and out.distance == pytest.approx(0.498, abs=1e-3)


def test_progress_on_the_wrong_side_is_negative(empty):
    put(empty, empty.town.columns[1] + 20.0, empty.town.rows[1] + 1.75, 0.0, 5.0)
    out = empty.step(0.0, 0.0)
    assert out.along == pytest.approx(-out.distance)


def test_driving_onto_the_pavement_is_off_road(empty):
    x = (empty.town.columns[2] + empty.town.columns[3]) / 2
    put(empty, x, empty.town.rows[1] + 3.0, 0.5, 6.0)
    assert cause_of(empty, 40) == "off_road"


def test_driving_into_a_house_is_a_collision_with_a_building(empty):
    town = empty.town
    fronts = np.abs(town.buildings.centre[:, 1] - town.buildings.half[:, 1] - (town.rows[1] + town.kerb + 3.2)) < 1e-6
    inside = (town.buildings.centre[:, 0] > town.columns[1]) & (town.buildings.heading[:, 0] == 1.0)
    house = np.flatnonzero(fronts & inside)[0]
    put(empty, float(town.buildings.centre[house, 0]), float(town.rows[1]), math.pi / 2, 2.0)
    assert cause_of(empty, 60) == "building"


def test_driving_into_a_tree_is_a_collision_with_a_tree():
    world = World(WorldConfig(TownConfig(seed=0, trees=1.0, parking=0.0), cars=0, people=0))
    x, y, _ = world.town.trees[
        np.abs(world.town.trees[:, :2] - [world.town.columns[2] + 30, world.town.rows[2] + 8]).sum(axis=1).argmin()
    ]
    put(world, float(x), float(y) - 2.5, math.pi / 2, 3.0)
    assert cause_of(world, 10) == "tree"


def test_driving_into_a_parked_car_is_a_collision_with_a_car():
    world = World(WorldConfig(TownConfig(seed=0, parking=1.0), cars=0, people=0))
    (x, y), (cos, sin) = world.town.parked.centre[0], world.town.parked.heading[0]
    put(world, float(x - 6 * cos), float(y - 6 * sin), math.atan2(sin, cos), 5.0)
    assert cause_of(world, 20) == "car"


def test_overlap_with_a_moving_car_is_a_collision_with_a_car():
    world = World(WorldConfig(TownConfig(seed=0), cars=5, people=0))
    positions, headings = world.cars()
    put(world, *positions[0].tolist(), math.atan2(headings[0, 1], headings[0, 0]))
    assert cause_of(world, 1) == "car"


def test_driving_into_a_person_is_a_collision_with_a_pedestrian():
    world = World(WorldConfig(TownConfig(seed=0), cars=0, people=50))
    x, y = world.pedestrian_positions()[0]
    put(world, float(x) - 3.2, float(y), 0.0, 8.0)
    assert cause_of(world, 10) == "pedestrian"


def test_red_lights_cannot_be_bypassed(empty):
    """The front passes the line two metres next to the street, and the car then turns onto the street."""
    town = empty.town
    middle = np.array([town.columns[2], town.rows[2]])
    red = (
        s
        for s in range(340)
        if all(signals.lights(town, (s + later) * SECONDS)[0, 2, 2] == signals.RED for later in (0, 60))
    )
    empty.state = replace(empty.state, started=next(red), decisions=0)
    put(empty, *(middle - [12.5, 3.0]).tolist(), -1.2, 4.0)
    assert cause_of(empty, 60, steer=1.0, pedal=0.13) == "red_light"


@pytest.mark.parametrize("axis", [0, 1])
def test_red_lights_are_only_run_at_their_own_line(empty, axis):
    town = empty.town
    middle = np.array([town.columns[2], town.rows[2]])
    ahead = np.array([1.0, 0.0]) if axis == 0 else np.array([0.0, 1.0])
    right = np.array([ahead[1], -ahead[0]])
    heading = axis * math.pi / 2

    def set_light(colour):
        """Sets the clock so that the light has this colour for a second."""
        during = (
            started
            for started in range(340)
            if all(signals.lights(town, (started + later) * SECONDS)[axis, 2, 2] == colour for later in (0, 10))
        )
        empty.state = replace(empty.state, started=next(during), decisions=0)

    start = middle - (town.stop_line + HALF_SIZE[0] + 2.0) * ahead + 1.75 * right
    set_light(signals.RED)
    put(empty, *start.tolist(), heading, 6.0)
    assert cause_of(empty, 8, pedal=0.0) == "red_light"
    put(empty, *(start + (town.kerb + 0.5 - 1.75) * right).tolist(), heading, 6.0)
    assert cause_of(empty, 8, pedal=0.0) == "red_light", "also next to the lane, as long as the car is on the road"
    set_light(signals.GREEN)
    put(empty, *start.tolist(), heading, 6.0)
    assert cause_of(empty, 8, pedal=0.0) is None
    set_light(signals.RED)  # leaving the intersection over the line of oncoming traffic
    put(empty, *(middle + (town.stop_line - HALF_SIZE[0] - 1.0) * ahead + 1.75 * right).tolist(), heading, 6.0)
    assert cause_of(empty, 8, pedal=0.0) is None


# -- reproducibility


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=30), st.integers(0, 1000))
@settings(max_examples=15)
def test_stored_worlds_resume_bit_for_bit(controls, seed):
    world = World(WorldConfig(TownConfig(seed=2)))
    world.reset(seed)
    for steer, pedal in controls:
        world.step(steer, pedal)
    stored = world.get_state()
    outcomes = [world.step(steer, pedal) for steer, pedal in controls]
    end = world.get_state()
    other = World(WorldConfig(TownConfig(seed=2)))
    other.set_state(stored)
    assert other.get_state() == stored
    assert [other.step(steer, pedal) for steer, pedal in controls] == outcomes
    assert other.get_state() == end


def test_same_seed_gives_the_same_world_on_every_machine():
    world = World(WorldConfig(TownConfig(seed=1)))
    world.reset(5)
    for number in range(300):
        world.step(math.copysign(0.1, number % 20 - 9.5), 0.3)
    car, people = world.state.car, world.pedestrian_positions()
    found = digest(world.cars()[0].round(3), people.round(3), np.array([car.x, car.y]).round(3))
    assert found == "2dfd1d6e6aadb459"


def test_states_of_other_worlds_are_refused():
    world = World(WorldConfig(TownConfig(seed=2)))
    stored = world.get_state()
    with pytest.raises(SnapshotError, match="same settings"):
        World(WorldConfig(TownConfig(seed=3))).set_state(stored)
    with pytest.raises(SnapshotError, match="checksum"):
        world.set_state(stored[:-1] + b"x")
    with pytest.raises(SnapshotError):
        world.set_state(stored[:100])


def test_states_of_another_version_are_refused(monkeypatch):
    stored = World(WorldConfig()).get_state()
    monkeypatch.setattr("weakspot.envs.driving.world.STATE_VERSION", 999)
    with pytest.raises(SnapshotError, match="version"):
        World(WorldConfig()).set_state(stored)

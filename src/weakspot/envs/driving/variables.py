"""The variables of the town: its lights, the agent's car, the other cars, and the pedestrians.

A person or a car can only be where the town's rules put them: people on the pavement or on a straight line across a street,
cars on a lane.  Whether somebody is on the street, and what happens then, follows from the variables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from weakspot.envs.driving import pedestrians, signals, traffic
from weakspot.envs.driving.bicycle import MAX_SPEED, MAX_STEER, on_grid
from weakspot.envs.driving.pedestrians import Pedestrians
from weakspot.envs.driving.town import Town
from weakspot.envs.driving.traffic import Traffic
from weakspot.envs.driving.world import SECONDS, World, WorldState
from weakspot.envs.editable import Variable, check_changes
from weakspot.errors import EditError

ROUNDING = 1e-5
"""Metres by which rounding may put a person beyond the end of its side."""
DOING_WORDS = (
    "walking along",
    "going to the kerb",
    "waiting there",
    "crossing",
    "standing on the street",
    "going back",
)
"""What the numbers of what a pedestrian does mean."""


def world_variables(world: World) -> tuple[Variable, ...]:
    """The variables of a world, in the order of :func:`read`."""
    town, lanes = world.town, world.lanes
    wide, high = town.parks.shape
    east, north = float(town.columns[-1]), float(town.rows[-1])
    margin = 2 * town.walk
    cycle = round(signals.CYCLE / SECONDS)
    own = (
        Variable("light phase", 0, cycle - 1, whole=True),
        Variable("own car x", float(town.columns[0]) - margin, east + margin, group="own car"),
        Variable("own car y", float(town.rows[0]) - margin, north + margin, group="own car"),
        Variable("own car heading", -math.pi, math.pi, group="own car"),
        Variable("own car speed", 0.0, MAX_SPEED, group="own car"),
        Variable("own car steer", -MAX_STEER, MAX_STEER, group="own car"),
    )
    cars = [
        variable
        for number in range(len(world.state.traffic))
        for variable in (
            Variable(f"car {number} lane", 0, len(lanes.length) - 1, whole=True, group=f"car {number}"),
            Variable(f"car {number} along", 0.0, float(lanes.length.max()), group=f"car {number}"),
            Variable(f"car {number} speed", 0.0, traffic.CRUISE, group=f"car {number}"),
        )
    ]
    people = [
        variable
        for number in range(len(world.state.people))
        for variable in (
            Variable(f"person {number} column", 0, wide - 1, whole=True, group=f"person {number}"),
            Variable(f"person {number} row", 0, high - 1, whole=True, group=f"person {number}"),
            Variable(f"person {number} side", 0, 3, whole=True, group=f"person {number}"),
            Variable(
                f"person {number} along",
                min(float(town.columns[0]), float(town.rows[0])),
                max(east, north),
                group=f"person {number}",
            ),
            Variable(f"person {number} doing", 0, pedestrians.BACK, whole=True, group=f"person {number}", words=DOING_WORDS),
            Variable(f"person {number} progress", 0.0, 2 * town.walk, group=f"person {number}"),
            Variable(f"person {number} distracted", 0, 1, whole=True, group=f"person {number}"),
            Variable(f"person {number} speed", 0.5, 5.0, group=f"person {number}"),
        )
    ]
    return (*own, *cars, *people)


OWN, PER_CAR, PER_PERSON = 6, 3, 8
"""Variables of lights and own car, of each other car, and of each person."""


def read(world: World) -> np.ndarray:
    """The values of the variables (v,)."""
    state = world.state
    car, moving, people = state.car, state.traffic, state.people
    phase = (state.started + state.decisions) % round(signals.CYCLE / SECONDS)
    heading = math.remainder(car.heading, 2 * math.pi)
    columns = [
        np.array([phase, car.x, car.y, heading, car.speed, car.steer]),
        np.stack([moving.lane, moving.along, moving.speed], axis=1).astype(np.float64).ravel(),
        np.stack(
            [*people.block.T, people.side, people.along, people.doing, people.progress, people.distracted, people.speed],
            axis=1,
        ).astype(np.float64).ravel(),
    ]  # fmt: skip
    return np.concatenate(columns)


def write(world: World, changes: Mapping[int, float]) -> None:
    """Changes variables of the current state.

    Raises:
        EditError: a value is out of bounds, a car would be beyond the end of its lane, or a person beyond that of its side,
            or where there is no street to cross.
    """
    values = read(world)
    different = {position: value for position, value in changes.items() if not _is(values, position, value)}
    checked = check_changes(world_variables(world), different)
    for position, value in checked.items():
        values[position] = value
    cars, people = len(world.state.traffic), len(world.state.people)
    state = _with_own(world.state, values[:OWN], checked)
    of_cars = values[OWN : OWN + PER_CAR * cars].reshape(cars, PER_CAR)
    of_people = values[OWN + PER_CAR * cars :].reshape(people, PER_PERSON)
    world.state = replace(
        state,
        traffic=_with_cars(world, state.traffic, of_cars),
        people=_with_people(world.town, state.people, of_people, OWN + PER_CAR * cars, checked),
    )


def _is(values: np.ndarray, position: int, value: float) -> bool:
    """Whether a variable has that value already."""
    return 0 <= position < len(values) and bool(values[position] == value)


def _with_own(state: WorldState, values: np.ndarray, changes: Mapping[int, float]) -> WorldState:
    """The state with another phase of the lights and another own car; what is not changed keeps every bit."""
    cycle = round(signals.CYCLE / SECONDS)
    started = (int(values[0]) - state.decisions) % cycle if 0 in changes else state.started
    names = ("x", "y", "heading", "speed", "steer")
    changed = {name: on_grid(float(values[1 + i])) for i, name in enumerate(names) if 1 + i in changes}
    return replace(state, started=started, car=replace(state.car, **changed))


def _with_cars(world: World, moving: Traffic, values: np.ndarray) -> Traffic:
    lanes, lane = world.lanes, values[:, 0].astype(moving.lane.dtype)
    beyond = np.flatnonzero(values[:, 1] > lanes.length[lane])
    if len(beyond):
        number = int(beyond[0])
        raise EditError(
            f"car {number} {values[number, 1]:.1f} m along lane {lane[number]}",
            expected=f"at most {lanes.length[lane[number]]:.1f} m, its length",
            todo="change along as well",
        )
    moved = lane != moving.lane
    after = np.where(moved, lanes.successors[lane, 0], moving.after)
    return replace(moving, lane=lane, along=values[:, 1], speed=values[:, 2], after=after.astype(moving.after.dtype))


def _with_people(
    town: Town, people: Pedestrians, values: np.ndarray, first: int, changes: Mapping[int, float]
) -> Pedestrians:
    columns: dict[str, Any] = {
        "block": values[:, :2].astype(people.block.dtype),
        "side": values[:, 2].astype(people.side.dtype),
        "along": values[:, 3],
        "doing": values[:, 4].astype(people.doing.dtype),
        "progress": values[:, 5],
        "distracted": values[:, 6].astype(bool),
        "speed": values[:, 7],
    }
    changed = replace(people, **columns)
    touched = np.unique([(position - first) // PER_PERSON for position in changes if position >= first]).astype(int)
    low, high = pedestrians.side_limits(town, changed.block, changed.side)
    opposite = changed.block + pedestrians.ACROSS[changed.side]
    outside = np.logical_or(opposite < 0, opposite >= np.array(town.parks.shape))
    exists: np.ndarray = ~np.logical_or(outside[:, 0], outside[:, 1])
    for number in touched.tolist():
        _check_person(number, changed, float(low[number]), float(high[number]), town, bool(exists[number]))
    return changed


def _check_person(number: int, people: Pedestrians, low: float, high: float, town: Town, street: bool) -> None:
    """Raises :class:`EditError` if the town's rules do not allow a person to be where it is.

    Args:
        number: of the person.
        people: all of them.
        low, high: ends of the person's side.
        town: the town.
        street: whether there is a street to cross, with a block on its other side.
    """
    along, doing, progress = people.along[number], people.doing[number], people.progress[number]
    if not low - ROUNDING <= along <= high + ROUNDING:
        raise EditError(
            f"person {number} at {along:.1f} m along its side",
            expected=f"{low:.1f} to {high:.1f} m",
            todo="change along as well, or another person",
        )
    if (progress > 0 or doing != pedestrians.WALK) and not street:
        raise EditError(
            f"person {number} on its way across side {people.side[number]} of the block at the edge of the town",
            expected="a side with a block across the street",
            todo="change its block or side as well",
        )
    kerb = town.walk - town.kerb
    most = {pedestrians.WALK: 0.0, pedestrians.TO_KERB: kerb, pedestrians.WAIT: kerb}.get(int(doing), 2 * town.walk)
    if progress > most:
        raise EditError(
            f"person {number} with doing {doing} and progress {progress:.1f} m",
            expected=f"at most {most:.1f} m: those who walk along or wait are on the pavement",
            todo=f"change doing to {pedestrians.CROSS}, which is crossing, or progress",
        )

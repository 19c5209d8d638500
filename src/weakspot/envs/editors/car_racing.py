"""CarRacing: where the car is, where it points to, and how it moves.  The wheels move with the car."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from weakspot.envs.editable import Variable

SIDE = 334.0
"""Metres from the middle of the field to its edge; beyond it the episode ends."""
SPEED, SPIN = 120.0, 20.0
"""Largest speed along an axis in metres per second, and largest angular velocity in radians per second."""
VARIABLES = (
    Variable("x", -SIDE, SIDE),
    Variable("y", -SIDE, SIDE),
    Variable("angle", -math.inf, math.inf),
    Variable("velocity x", -SPEED, SPEED),
    Variable("velocity y", -SPEED, SPEED),
    Variable("angular velocity", -SPIN, SPIN),
)


def recognises(env: Any) -> bool:
    """Whether it is gymnasium's CarRacing."""
    return type(env).__module__ == "gymnasium.envs.box2d.car_racing"


def variables(env: Any) -> tuple[Variable, ...]:
    """Pose and velocity of the car."""
    return VARIABLES


def read(env: Any) -> np.ndarray:
    """Those of the hull."""
    hull = env.car.hull
    return np.array([*hull.position, hull.angle, *hull.linearVelocity, hull.angularVelocity], np.float64)


def write(env: Any, changes: Mapping[int, float]) -> None:
    """Moves hull and wheels as one body, and gives all of them the motion of that body; wheels keep their own spin."""
    before = read(env)
    values = before.copy()
    for position, value in changes.items():
        values[position] = value
    turn = values[2] - before[2]
    cos, sin = math.cos(turn), math.sin(turn)
    bodies = (env.car.hull, *env.car.wheels)
    for body in bodies:
        if any(position in changes for position in (0, 1, 2)):
            x, y = body.position[0] - before[0], body.position[1] - before[1]
            place = values[0] + cos * x - sin * y, values[1] + sin * x + cos * y
            body.transform = (place, body.angle + turn)
    if any(position in changes for position in (3, 4, 5)):
        centre = env.car.hull.worldCenter.copy()  # a body's velocity is that of its centre of mass
        for body in bodies:
            x, y = body.worldCenter[0] - centre[0], body.worldCenter[1] - centre[1]
            body.linearVelocity = (values[3] - values[5] * y, values[4] + values[5] * x)
            body.angularVelocity = float(values[5])
    for body in bodies:
        body.awake = True

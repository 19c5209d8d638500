"""The kinematic bicycle model of the agent's car (Polack et al. 2017, with the reference point on the rear axle).

    x' = v cos(heading)    y' = v sin(heading)    heading' = v tan(steer) / L    v' = a

Within a step the steering angle is constant and the speed changes evenly, so that the car runs on an arc, in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

WHEELBASE = 2.7
REAR_TO_CENTRE = 1.35
"""From the rear axle to the middle of the car."""
MOST_STEER = 0.55
"""Radians."""
STEER_RATE = 0.8
"""Radians a second."""
MOST_SIDEWAYS = 5.0
"""Metres a second squared: at speed the steering angle is limited to what tyres hold."""
THROTTLE, BRAKE, DRAG = 3.0, 7.0, 0.4
"""Metres a second squared."""
MOST_SPEED = 14.0
"""Metres a second, 50 km/h."""

GRID = 2.0**20


def on_grid(value: float) -> float:
    """``value`` rounded to a multiple of 2^-20.

    Machines differ in the last bit of sines and tangents.  Rounded after every step, such differences go away instead of
    growing.
    """
    return round(value * GRID) / GRID


@dataclass(frozen=True)
class Car:
    """The agent's car.

    Attributes:
        x, y: of the middle of the rear axle, in metres.
        heading: radians, 0 along x, counter-clockwise.
        speed: metres a second, from 0 up.
        steer: angle of the front wheels in radians, positive to the left.
    """

    x: float
    y: float
    heading: float
    speed: float = 0.0
    steer: float = 0.0

    @property
    def direction(self) -> tuple[float, float]:
        """The unit vector of its heading."""
        return math.cos(self.heading), math.sin(self.heading)

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the car."""
        cos, sin = self.direction
        return self.x + REAR_TO_CENTRE * cos, self.y + REAR_TO_CENTRE * sin


def steer_limit(speed: float) -> float:
    """The largest steering angle at a speed: v^2 tan(steer) / L stays below ``MOST_SIDEWAYS``."""
    return min(MOST_STEER, math.atan(MOST_SIDEWAYS * WHEELBASE / max(speed * speed, 1e-9)))


def drive(car: Car, steer: float, pedal: float, seconds: float) -> Car:
    """The car after ``seconds`` with the wheel turned to ``steer`` and the pedals at ``pedal``, both -1 to 1.

    ``steer`` is the share of the largest angle at the speed, positive to the left, and is approached at ``STEER_RATE``;
    ``pedal`` is throttle above 0 and brake below.
    """
    push = THROTTLE * pedal if pedal > 0 else BRAKE * pedal
    speed = min(max(car.speed + (push - DRAG) * seconds, 0.0), MOST_SPEED)
    limit = steer_limit(max(speed, car.speed))
    angle = car.steer + min(max(steer * limit - car.steer, -STEER_RATE * seconds), STEER_RATE * seconds)
    angle = min(max(angle, -limit), limit)
    way = (car.speed + speed) / 2 * seconds
    turned = way * math.tan(angle) / WHEELBASE
    if abs(turned) < 1e-9:
        ahead, aside = way, 0.0
    else:
        ahead, aside = way * math.sin(turned) / turned, way * (1 - math.cos(turned)) / turned
    cos, sin = car.direction
    return replace(
        car,
        x=on_grid(car.x + ahead * cos - aside * sin),
        y=on_grid(car.y + ahead * sin + aside * cos),
        heading=on_grid(math.remainder(car.heading + turned, 2 * math.pi)),
        speed=on_grid(speed),
        steer=on_grid(angle),
    )

"""The kinematic bicycle model of the agent's car (Polack et al. 2017, with the reference point on the rear axle).

    x' = v cos(heading)    y' = v sin(heading)    heading' = v tan(steer) / L    v' = a

Within a step the steering angle is constant and the speed changes linearly, so the car moves on an arc, in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

WHEELBASE = 2.7
REAR_TO_CENTRE = 1.35
"""Metres from the rear axle to the centre of the car."""
MAX_STEER = 0.55
"""Largest steering angle in radians."""
STEER_RATE = 0.8
"""Largest change of the steering angle in radians per second."""
MAX_LATERAL_ACCELERATION = 5.0
"""Metres per second squared: at high speed the grip of the tyres limits the steering angle."""
THROTTLE, BRAKE, DRAG = 3.0, 7.0, 0.4
"""Accelerations in metres per second squared: at full throttle, at full brake, and always."""
MAX_SPEED = 14.0
"""Metres per second, 50 km/h."""

GRID = 2.0**20


def on_grid(value: float) -> float:
    """``value`` rounded to a multiple of 2^-20.

    Machines differ in the last bit of sines and tangents.  Rounding after every step removes such differences before they
    grow.
    """
    return round(value * GRID) / GRID


@dataclass(frozen=True)
class Car:
    """The agent's car.

    Attributes:
        x, y: position of the centre of the rear axle, in metres.
        heading: radians, 0 along x, counter-clockwise.
        speed: metres per second, at least 0.
        steer: angle of the front wheels in radians, positive to the left.
    """

    x: float
    y: float
    heading: float
    speed: float = 0.0
    steer: float = 0.0

    @property
    def direction(self) -> tuple[float, float]:
        """The heading as a unit vector."""
        return math.cos(self.heading), math.sin(self.heading)

    @property
    def middle(self) -> tuple[float, float]:
        """Position of the centre of the car."""
        cos, sin = self.direction
        return self.x + REAR_TO_CENTRE * cos, self.y + REAR_TO_CENTRE * sin


def steer_limit(speed: float) -> float:
    """The largest steering angle at a speed: v^2 tan(steer) / L stays below ``MAX_LATERAL_ACCELERATION``."""
    return min(MAX_STEER, math.atan(MAX_LATERAL_ACCELERATION * WHEELBASE / max(speed * speed, 1e-9)))


def drive(car: Car, steer: float, pedal: float, seconds: float) -> Car:
    """The car after ``seconds``.

    Args:
        car: before.
        steer: -1 to 1, fraction of the largest steering angle at this speed, positive to the left; the angle approaches it
            at ``STEER_RATE``.
        pedal: -1 to 1, throttle if positive, brake if negative.
        seconds: length of the step.
    """
    acceleration = THROTTLE * pedal if pedal > 0 else BRAKE * pedal
    speed = min(max(car.speed + (acceleration - DRAG) * seconds, 0.0), MAX_SPEED)
    limit = steer_limit(max(speed, car.speed))
    angle = car.steer + min(max(steer * limit - car.steer, -STEER_RATE * seconds), STEER_RATE * seconds)
    angle = min(max(angle, -limit), limit)
    distance = (car.speed + speed) / 2 * seconds
    turned = distance * math.tan(angle) / WHEELBASE
    if abs(turned) < 1e-9:
        ahead, aside = distance, 0.0
    else:
        ahead, aside = distance * math.sin(turned) / turned, distance * (1 - math.cos(turned)) / turned
    cos, sin = car.direction
    return replace(
        car,
        x=on_grid(car.x + ahead * cos - aside * sin),
        y=on_grid(car.y + ahead * sin + aside * cos),
        heading=on_grid(math.remainder(car.heading + turned, 2 * math.pi)),
        speed=on_grid(speed),
        steer=on_grid(angle),
    )

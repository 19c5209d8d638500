"""The classic control environments: their state is one vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from weakspot.envs.editable import Variable

INFINITE = math.inf


def single(bound: float) -> float:
    """A bound as a number in single precision, in which one of the environments keeps its state."""
    return float(np.float32(bound))


VARIABLES: dict[str, tuple[Variable, ...]] = {
    "CartPoleEnv": (
        Variable("position", -4.8, 4.8),
        Variable("velocity", -INFINITE, INFINITE),
        Variable("angle", -0.41887903, 0.41887903),
        Variable("angular velocity", -INFINITE, INFINITE),
    ),
    "MountainCarEnv": (Variable("position", -1.2, 0.6), Variable("velocity", -0.07, 0.07)),
    "Continuous_MountainCarEnv": (
        Variable("position", single(-1.2), single(0.6)),
        Variable("velocity", single(-0.07), single(0.07)),
    ),
    "PendulumEnv": (Variable("angle", -INFINITE, INFINITE), Variable("angular velocity", -8.0, 8.0)),
    "AcrobotEnv": (
        Variable("first angle", -math.pi, math.pi),
        Variable("second angle", -math.pi, math.pi),
        Variable("first angular velocity", -4 * math.pi, 4 * math.pi),
        Variable("second angular velocity", -9 * math.pi, 9 * math.pi),
    ),
}
"""Variables by the name of the class."""


def recognises(env: Any) -> bool:
    """Whether it is one of gymnasium's own classes."""
    name = _class_name(env)
    return name.startswith("gymnasium.envs.classic_control.") and name.rpartition(".")[2] in VARIABLES


def variables(env: Any) -> tuple[Variable, ...]:
    """Positions and velocities."""
    return VARIABLES[_class_name(env).rpartition(".")[2]]


def read(env: Any) -> np.ndarray:
    """The state vector."""
    return np.array(env.state, np.float64)


def write(env: Any, changes: Mapping[int, float]) -> None:
    """Replaces entries of the state vector, which keeps its number format."""
    state = np.array(env.state)
    for position, value in changes.items():
        state[position] = value
    env.state = state


def _class_name(env: object) -> str:
    return f"{type(env).__module__}.{type(env).__name__}"

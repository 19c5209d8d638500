"""MuJoCo environments: positions qpos and velocities qvel of the joints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from weakspot.envs.editable import Variable

HINGE, SLIDE = 3, 2
"""Types of joints with one coordinate (mjtJoint)."""


def recognises(env: Any) -> bool:
    """Whether it has gymnasium's interface of MuJoCo environments."""
    return all(hasattr(env, name) for name in ("model", "data", "set_state")) and hasattr(env.model, "jnt_qposadr")


def variables(env: Any) -> tuple[Variable, ...]:
    """One for each entry of qpos and of qvel; joints with limits have bounds."""
    model = env.model
    low, high = np.full(model.nq, -math.inf), np.full(model.nq, math.inf)
    names = [f"position {number}" for number in range(model.nq)]
    for joint in range(model.njnt):
        at = int(model.jnt_qposadr[joint])
        if int(model.jnt_type[joint]) in (HINGE, SLIDE):
            names[at] = f"{model.joint(joint).name or joint} position"
            if model.jnt_limited[joint]:
                low[at], high[at] = model.jnt_range[joint]
    positions = [Variable(name, float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)]
    velocities = [Variable(f"velocity {number}", -math.inf, math.inf) for number in range(model.nv)]
    return (*positions, *velocities)


def read(env: Any) -> np.ndarray:
    """qpos and qvel."""
    return np.concatenate([env.data.qpos, env.data.qvel]).astype(np.float64)


def write(env: Any, changes: Mapping[int, float]) -> None:
    """Sets qpos and qvel, and computes everything that follows from them."""
    values = read(env)
    for position, value in changes.items():
        values[position] = value
    env.set_state(values[: env.model.nq], values[env.model.nq :])

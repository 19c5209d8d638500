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
    """One for each entry of qpos and of qvel, without bounds: those of joints are soft, and play exceeds them."""
    model = env.model
    names = [f"position {number}" for number in range(model.nq)]
    for joint in range(model.njnt):
        if int(model.jnt_type[joint]) in (HINGE, SLIDE):
            names[int(model.jnt_qposadr[joint])] = f"{model.joint(joint).name or joint} position"
    names += [f"velocity {number}" for number in range(model.nv)]
    return tuple(Variable(name, -math.inf, math.inf) for name in names)


def read(env: Any) -> np.ndarray:
    """qpos and qvel."""
    return np.concatenate([env.data.qpos, env.data.qvel]).astype(np.float64)


def write(env: Any, changes: Mapping[int, float]) -> None:
    """Sets qpos and qvel, and computes everything that follows from them."""
    values = read(env)
    for position, value in changes.items():
        values[position] = value
    env.set_state(values[: env.model.nq], values[env.model.nq :])

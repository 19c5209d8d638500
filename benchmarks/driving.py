"""How fast the town is: decisions a second on two processes, beside the bare ray casting of the same pictures.

    python -m benchmarks.driving --output docs/driving

The bare time is that of Embree alone: the rays of every picture cast at the town, and those that come near what moves cast
at that, whose scene is built anew for each picture.  Everything is measured side by side in one run, several times, and
the medians count.  For the memory it takes see :mod:`benchmarks.driving_memory`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from gymnasium.vector import AsyncVectorEnv

from lab.arguments import at_least
from weakspot.envs.driving import sensors
from weakspot.envs.driving.env import DriveEnv
from weakspot.envs.driving.sensors import Camera, moving_parts, rays_of, town_scene
from weakspot.envs.driving.world import World
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code

PROCESSES = 2


def action(number: int) -> int:
    """Throttle for a while, then the brakes."""
    return 1 if number % 50 < 25 else 2


def alone(decisions: int) -> tuple[float, float]:
    """Milliseconds a decision of one environment, and the milliseconds of the bare ray casting of the same pictures."""
    env = gymnasium.make("weakspot/Drive-v0").unwrapped
    assert isinstance(env, DriveEnv)
    env.reset(seed=0)
    town_scene(env.world.config.town)
    stepped = cast = 0.0
    for number in range(decisions):
        started = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action(number))
        stepped += time.perf_counter() - started
        cast += bare(env.world, env.camera)
        if terminated or truncated:
            env.reset()
    return 1e3 * stepped / decisions, 1e3 * cast / decisions


def bare(world: World, camera: Camera) -> float:
    """Seconds that Embree alone takes for what the driver sees."""
    origin, directions = rays_of(world, camera)
    origins = np.broadcast_to(origin, directions.shape).astype(np.float32)
    mesh, near = moving_parts(world, camera)
    some, few = origins[near], directions[near]
    town = town_scene(world.config.town).scene
    started = time.perf_counter()
    town.run(origins, directions, query="INTERSECT", output=1)
    if len(near):
        scene = EmbreeScene(sensors.DEVICE)
        TriangleMesh(scene, mesh.corners)
        scene.run(some, few, query="INTERSECT", output=1)
    return time.perf_counter() - started


def vectorised(decisions: int) -> float:
    """Decisions a second of two environments in a process each."""
    envs = AsyncVectorEnv([lambda: gymnasium.make("weakspot/Drive-v0")] * PROCESSES)
    try:
        envs.reset(seed=0)
        for number in range(20):
            envs.step(np.full(PROCESSES, action(number)))
        started = time.perf_counter()
        for number in range(decisions):
            envs.step(np.full(PROCESSES, action(number)))
        return PROCESSES * decisions / (time.perf_counter() - started)
    finally:
        envs.close()


def measured(decisions: int, rounds: int) -> dict[str, Any]:
    pairs = [alone(decisions) for _ in range(rounds)]
    return {
        "decisions_per_second_two_processes": median(vectorised(decisions) for _ in range(rounds)),
        "decision_ms": median(step for step, _ in pairs),
        "bare_ray_casting_ms": median(cast for _, cast in pairs),
        "share_of_ray_casting": median(cast / step for step, cast in pairs),
        "decisions": decisions,
        "rounds": rounds,
        "picture": [sensors.Camera().height, sensors.Camera().width],
        "versions": {name: importlib.metadata.version(name) for name in ("embreex", "numpy", "gymnasium")},
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/town"))
    parser.add_argument("--decisions", type=at_least(1), default=300)
    parser.add_argument("--rounds", type=at_least(1), default=15)
    told = parser.parse_args()
    found = measured(told.decisions, told.rounds)
    write_json(make_folder(told.output) / "speed.json", found)
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""Speed of the town, and of its ray casting alone."""

from __future__ import annotations

import time

import gymnasium
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from gymnasium.vector import AsyncVectorEnv

from lab.town import drive_env
from weakspot.envs.driving import sensors
from weakspot.envs.driving.registration import register
from weakspot.envs.driving.sensors import Camera, moving_parts, rays_of, town_scene
from weakspot.envs.driving.world import World


def stop_and_go(number: int) -> int:
    """The action of a driver that gives throttle for a while and then brakes."""
    return 1 if number % 50 < 25 else 2


def image_size() -> list[int]:
    """Height and width of the driver's view."""
    return [Camera().height, Camera().width]


def decision_milliseconds(decisions: int) -> tuple[float, float]:
    """Milliseconds per decision of one environment, and those of the bare ray casting of the same frames."""
    env = drive_env()
    env.reset(seed=0)
    town_scene(env.world.config.town)
    stepped = casting = 0.0
    for number in range(decisions):
        started = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(stop_and_go(number))
        stepped += time.perf_counter() - started
        casting += _ray_casting_seconds(env.world, env.camera)
        if terminated or truncated:
            env.reset()
    return 1e3 * stepped / decisions, 1e3 * casting / decisions


def _ray_casting_seconds(world: World, camera: Camera) -> float:
    """Seconds that Embree alone needs for what the driver sees."""
    origin, directions = rays_of(world, camera)
    origins = np.broadcast_to(origin, directions.shape).astype(np.float32)
    mesh, near = moving_parts(world, camera)
    near_origins, near_directions = origins[near], directions[near]
    town = town_scene(world.config.town).scene
    started = time.perf_counter()
    town.run(origins, directions, query="INTERSECT", output=1)
    if len(near):
        scene = EmbreeScene(sensors.DEVICE)
        TriangleMesh(scene, mesh.corners)
        scene.run(near_origins, near_directions, query="INTERSECT", output=1)
    return time.perf_counter() - started


def _make() -> gymnasium.Env[np.ndarray, object]:
    register()
    return gymnasium.make("weakspot/Drive-v0")


def vectorised_decisions_per_second(decisions: int, processes: int) -> float:
    """Decisions per second of several environments, each in a process of its own."""
    envs = AsyncVectorEnv([_make] * processes)
    try:
        envs.reset(seed=0)
        for number in range(20):
            envs.step(np.full(processes, stop_and_go(number)))
        started = time.perf_counter()
        for number in range(decisions):
            envs.step(np.full(processes, stop_and_go(number)))
        return processes * decisions / (time.perf_counter() - started)
    finally:
        envs.close()

"""Renders the town for people: a view of the agent's car from behind and above, with sun and shadows."""

from __future__ import annotations

import numpy as np

from weakspot.envs.driving import meshes
from weakspot.envs.driving.classes import SemanticClass
from weakspot.envs.driving.meshes import Mesh
from weakspot.envs.driving.sensors import FAR, SUN, Camera, Scene, cast, rays_of, scene_of, town_scene
from weakspot.envs.driving.world import World

CAMERA = Camera(height=360, width=640, view=70.0, ahead=-9.0, up=4.2, tilt=12.0)
COLOURS = np.array(
    [
        [92, 92, 98],
        [235, 235, 230],
        [176, 170, 162],
        [205, 186, 164],
        [98, 142, 74],
        [70, 105, 165],
        [232, 160, 60],
        [255, 40, 30],
        [40, 235, 120],
        [170, 205, 240],
    ],
    np.float32,
)
"""Colour of each semantic class in full light (10, 3)."""
OWN_COLOUR = np.array([200.0, 45.0, 45.0], np.float32)
"""Colour of the agent's car."""
SHADOW = 0.55
"""Factor on colours in the shadow."""
HAZE = np.array([205.0, 220.0, 235.0], np.float32)
"""Colour of the haze."""


def chase(world: World, camera: Camera = CAMERA) -> np.ndarray:
    """An image (h, w, 3) uint8 of the agent's car from behind and above."""
    origin, directions = rays_of(world, camera)
    town, moving = town_scene(world.config.town), scene_of(_moving(world))
    distance, triangle = cast(town, origin, directions)
    colour = _colours(town, world)[triangle]
    moving_distance, moving_triangle = cast(moving, origin, directions)
    closer = moving_distance < distance
    colour[closer] = _moving_colours(moving)[moving_triangle[closer]]
    distance = np.where(closer, moving_distance, distance)
    hit = np.flatnonzero(distance < FAR)
    points = origin + distance[hit, None] * directions[hit]
    colour[hit] *= _shadows((town, moving), points)[:, None]
    haze = (np.minimum(distance / FAR, 1.0) ** 2 * 0.75)[:, None]
    up = np.clip(directions[:, 2:], 0.0, 0.4) / 0.4
    sky = HAZE * (1 - up) + COLOURS[SemanticClass.SKY] * up
    image = np.where((distance < FAR)[:, None], colour * (1 - haze) + HAZE * haze, sky)
    return np.clip(image, 0, 255).astype(np.uint8).reshape(camera.height, camera.width, 3)


def _moving(world: World) -> Mesh:
    """Everything that moves, the agent's car last."""
    cars, people = np.arange(len(world.state.traffic)), np.arange(len(world.state.people))
    return meshes.concat_meshes([meshes.moving_mesh(world, cars, people), meshes.own_car(world)])


def _colours(scene: Scene, world: World) -> np.ndarray:
    """Colours (n + 1, 3) of the triangles in the sun; the last one is that of the sky."""
    classes = scene.classes_now(world)
    colours = COLOURS[classes] * (0.55 + 0.75 * scene.shade)[:, None]
    colours[scene.lit] = COLOURS[classes[scene.lit]]
    return colours


def _moving_colours(scene: Scene) -> np.ndarray:
    """The same for the scene of :func:`_moving`."""
    colours = COLOURS[scene.classes] * (0.55 + 0.75 * scene.shade)[:, None]
    own = slice(-1 - len(meshes.CAR), -1)
    colours[own] = OWN_COLOUR * (0.55 + 0.6 * scene.shade[own])[:, None]
    return colours


def _shadows(scenes: tuple[Scene, Scene], points: np.ndarray) -> np.ndarray:
    """Brightness (n,) of each point (n, 3): 1 in the sun, ``SHADOW`` in the shadow."""
    towards = np.broadcast_to(SUN / np.linalg.norm(SUN), points.shape).astype(np.float32)
    raised = (points + 0.05 * towards).astype(np.float32)
    dark = np.zeros(len(points), bool)
    for scene in scenes:
        dark |= scene.scene.run(raised, np.ascontiguousarray(towards), query="OCCLUDED") >= 0
    return np.where(dark, SHADOW, 1.0).astype(np.float32)

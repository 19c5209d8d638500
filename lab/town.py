"""Images of the town: maps, views from behind the agent's car, and what the sensors see."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from weakspot.analysis.objects.driving import path_ground
from weakspot.envs.driving import meshes
from weakspot.envs.driving.chase import chase
from weakspot.envs.driving.classes import CLASS_NAMES, PALETTE, SemanticClass, colours
from weakspot.envs.driving.env import ACTIONS, DriveEnv
from weakspot.envs.driving.registration import register
from weakspot.envs.driving.sensors import FAR, cast, scene_of
from weakspot.envs.driving.world import World

MAP_HEIGHT = 60.0
"""Metres above the ground from which maps are drawn, above all houses."""
COARSE, FINE = 1.0, 0.12
"""Metres per pixel on a map of the whole town, and of the part around the car."""
CLOSE = 100
"""Pixels that a class must have to be close: on the path, or anywhere for lights."""
COAST, THROTTLE = (list(ACTIONS).index(name) for name in ("COAST", "THROTTLE"))
LIGHTS = {SemanticClass.RED_LIGHT, SemanticClass.GREEN_LIGHT}


@dataclass(frozen=True)
class Scene:
    """A kind of scene in the town: the pedestrians, what the driver sees, and its class."""

    pedestrians: str
    name: str
    semantic_class: SemanticClass

    @property
    def title(self) -> str:
        """For figures."""
        return f"{self.name}, {self.pedestrians} people"


SCENES = (
    Scene("reasonable", "red light", SemanticClass.RED_LIGHT),
    Scene("reasonable", "green light", SemanticClass.GREEN_LIGHT),
    Scene("distracted", "person on the path", SemanticClass.PEDESTRIAN),
    Scene("reasonable", "car on the path", SemanticClass.CAR),
)
"""The scenes that are drawn."""


def drive_env(**settings: Any) -> DriveEnv:
    """The environment ``weakspot/Drive-v0``, without wrappers."""
    register()
    env = gymnasium.make("weakspot/Drive-v0", **settings).unwrapped
    assert isinstance(env, DriveEnv)
    return env


def draw_map(world: World, centre: tuple[float, float], size: tuple[float, float], metres: float) -> np.ndarray:
    """A map (h, w, 3), north up, everything in the colour of its class.

    Args:
        world: what is drawn.
        centre, size: of the part of it, in metres.
        metres: width of a pixel.
    """
    everyone = np.arange(len(world.state.traffic)), np.arange(len(world.state.people))
    parts = [meshes.town_mesh(world.town), meshes.moving_mesh(world, *everyone), meshes.own_car(world)]
    scene = scene_of(meshes.concat_meshes(parts))
    x = centre[0] + np.arange(-size[0] / 2, size[0] / 2, metres)
    y = centre[1] - np.arange(-size[1] / 2, size[1] / 2, metres)
    origins = np.stack([*np.meshgrid(x, y), np.full((len(y), len(x)), MAP_HEIGHT)], axis=-1).reshape(-1, 3)
    down = np.tile(np.array([0, 0, -1], np.float32), (len(origins), 1))
    _, triangle = cast(scene, origins.astype(np.float32), down)
    lit = 0.75 + 0.25 * scene.shade[triangle][:, None]
    return (PALETTE[scene.classes_now(world)[triangle]] * lit).astype(np.uint8).reshape(len(y), len(x), 3)


def draw_two_maps(world: World) -> np.ndarray:
    """The whole town, and next to it, equally high, the part around the agent's car (h, w, 3)."""
    town, edge = world.town, world.town.kerb + 15
    streets = (town.columns, town.rows)
    centre = tuple(float(s[0] + s[-1]) / 2 for s in streets)
    width, height = (float(s[-1] - s[0]) + 2 * edge for s in streets)
    whole = draw_map(world, (centre[0], centre[1]), (width, height), COARSE)
    near = draw_map(world, world.state.car.middle, (len(whole) * FINE, len(whole) * FINE), FINE)
    return np.concatenate([whole, np.full((len(whole), 8, 3), 255, np.uint8), near], axis=1)


def find_scene(scene: Scene) -> DriveEnv:
    """An environment at the first such scene over all seeds, driven straight on."""
    # many frames show lights of both colours
    others = list(LIGHTS - {scene.semantic_class}) if scene.semantic_class in LIGHTS else []
    for seed in itertools.count():
        env = drive_env(render_mode="rgb_array", pedestrians=scene.pedestrians)
        env.reset(seed=seed)
        for decision in range(100):
            if env.step(THROTTLE if decision < 25 else COAST)[2]:
                break
            classes = env.view().classes
            region = slice(None) if scene.semantic_class in LIGHTS else path_ground(env.camera)
            if (classes[region] == scene.semantic_class).sum() >= CLOSE and not np.isin(classes, others).any():
                return env
    raise AssertionError("unreachable: seeds do not end")


def from_behind(env: DriveEnv) -> np.ndarray:
    """The view from behind the agent's car (h, w, 3)."""
    return chase(env.world)


def sensor_images(env: DriveEnv) -> dict[str, np.ndarray]:
    """What each sensor sees as an image, in colour (h, w, 3) or gray (h, w), by its title."""
    view = env.view()
    return {
        "classes": colours(view.classes),
        f"depth, black from {FAR:.0f} m": 255 * (1 - view.depth / FAR),
        "shaded gray": view.gray,
    }


def class_legend() -> dict[str, tuple[float, float, float]]:
    """The colour of each class, in [0, 1], by its name."""
    colours_of_classes = zip(CLASS_NAMES, (PALETTE / 255).tolist(), strict=True)
    return {name.replace("_", " "): (red, green, blue) for name, (red, green, blue) in colours_of_classes}

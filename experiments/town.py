"""Pictures of the town: from above, from behind the agent's car, and through its sensors.

python -m experiments.town --output docs/driving
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import gymnasium
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lab.figures import save_picture, write_figure
from weakspot.analysis.objects.driving import path_ground
from weakspot.envs.driving import meshes
from weakspot.envs.driving.chase import chase
from weakspot.envs.driving.classes import CLASS_NAMES, PALETTE, SemanticClass, colours
from weakspot.envs.driving.env import ACTIONS, DriveEnv
from weakspot.envs.driving.sensors import FAR, cast, scene_of
from weakspot.envs.driving.world import World
from weakspot.system.files import make_folder
from weakspot.system.process import exit_code

HIGH = 60.0
"""Metres above the ground from which the map is drawn; no house is as high."""
WHOLE, PART = 1.0, 0.12
"""Metres a pixel of the whole town, and of a part of it."""
SCENES: tuple[tuple[str, str, SemanticClass], ...] = (
    ("reasonable", "red light", SemanticClass.RED_LIGHT),
    ("reasonable", "green light", SemanticClass.GREEN_LIGHT),
    ("distracted", "person on the path", SemanticClass.PEDESTRIAN),
    ("reasonable", "car on the path", SemanticClass.CAR),
)
"""Who is on foot, what the driver sees, and its class, in the pictures from behind the car and through its sensors."""
CLOSE = 100
"""Pixels of the class, at least, so that it is not far away: on the path, or anywhere if it is a light."""
COAST, THROTTLE = (list(ACTIONS).index(name) for name in ("COAST", "THROTTLE"))


def from_above(world: World, middle: tuple[float, float], size: tuple[float, float], metres: float) -> np.ndarray:
    """A map (h, w, 3), north up, everything in the colour of its class.

    Args:
        world: what is drawn.
        middle, size: of the piece of it, in metres.
        metres: that a pixel is wide.
    """
    everybody = np.arange(len(world.state.traffic)), np.arange(len(world.state.people))
    parts = [meshes.town_mesh(world.town), meshes.moving_mesh(world, *everybody), meshes.own_car(world)]
    scene = scene_of(meshes.joined(parts))
    x = middle[0] + np.arange(-size[0] / 2, size[0] / 2, metres)
    y = middle[1] - np.arange(-size[1] / 2, size[1] / 2, metres)
    origins = np.stack([*np.meshgrid(x, y), np.full((len(y), len(x)), HIGH)], axis=-1).reshape(-1, 3)
    down = np.tile(np.array([0, 0, -1], np.float32), (len(origins), 1))
    _, triangle = cast(scene, origins.astype(np.float32), down)
    lit = 0.75 + 0.25 * scene.shade[triangle][:, None]
    return (PALETTE[scene.classes_now(world)[triangle]] * lit).astype(np.uint8).reshape(len(y), len(x), 3)


def atlas(world: World) -> np.ndarray:
    """The whole town, and beside it, as high, the part around the agent's car (h, w, 3)."""
    town, edge = world.town, world.town.kerb + 15
    streets = (town.columns, town.rows)
    middle = tuple(float(s[0] + s[-1]) / 2 for s in streets)
    wide, high = (float(s[-1] - s[0]) + 2 * edge for s in streets)
    whole = from_above(world, (middle[0], middle[1]), (wide, high), WHOLE)
    near = from_above(world, world.state.car.middle, (len(whole) * PART, len(whole) * PART), PART)
    return np.concatenate([whole, np.full((len(whole), 8, 3), 255, np.uint8), near], axis=1)


def moments() -> list[tuple[str, DriveEnv]]:
    """For each of the :data:`SCENES` its name, and an environment in the first such moment, driven straight on."""
    return [(f"{name}, {pedestrians} people", _moment(pedestrians, wanted)) for pedestrians, name, wanted in SCENES]


def _moment(pedestrians: str, wanted: SemanticClass) -> DriveEnv:
    lights = {SemanticClass.RED_LIGHT, SemanticClass.GREEN_LIGHT}
    others = list(lights - {wanted}) if wanted in lights else []  # a light of the other colour is on show with many
    for seed in itertools.count():
        env = gymnasium.make("weakspot/Drive-v0", render_mode="rgb_array", pedestrians=pedestrians).unwrapped
        assert isinstance(env, DriveEnv)
        env.reset(seed=seed)
        for decision in range(100):
            if env.step(THROTTLE if decision < 25 else COAST)[2]:
                break
            classes = env.view().classes
            place = slice(None) if wanted in lights else path_ground(env.camera)
            if (classes[place] == wanted).sum() >= CLOSE and not np.isin(classes, others).any():
                return env
    raise AssertionError("seeds do not end")


def behind(shown: list[tuple[str, DriveEnv]], path: Path) -> None:
    """Draws moments from behind the car."""
    figure = Figure(figsize=(11.8, 7.2), layout="constrained")
    for axes, (name, env) in zip(figure.subplots(2, 2).flat, shown, strict=True):
        axes.imshow(chase(env.world), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(name, fontsize=10)
    write_figure(figure, path)


def sensed(shown: list[tuple[str, DriveEnv]], path: Path) -> None:
    """Draws moments through the sensors, a line each, over the names of the classes."""
    figure = Figure(figsize=(8.6, 2.75 * len(shown) + 0.7), layout="constrained")
    for line, (name, env) in zip(figure.subplots(len(shown), 3), shown, strict=True):
        view = env.view()
        line[0].imshow(colours(view.classes), interpolation="nearest")
        line[1].imshow(255 * (1 - view.depth / FAR), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        line[2].imshow(view.gray, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for axes, kind in zip(line, ("classes", f"depth, black from {FAR:.0f} m", "shaded gray"), strict=True):
            axes.set(xticks=[], yticks=[])
            if env is shown[0][1]:
                axes.set_title(kind, fontsize=10)
        line[0].set_ylabel(name.replace(", ", ",\n"), fontsize=9)
    patches = [
        Patch(color=colour / 255, label=name.replace("_", " ")) for name, colour in zip(CLASS_NAMES, PALETTE, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    write_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/town"))
    output, shown = make_folder(parser.parse_args().output), moments()
    save_picture(atlas(shown[2][1].world), output / "map.png")
    behind(shown, output / "chase.png")
    sensed(shown, output / "sensors.png")
    print(f"map.png, chase.png and sensors.png are in {output}")


if __name__ == "__main__":
    sys.exit(exit_code(main))

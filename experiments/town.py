"""Pictures of the town: from above, from behind the agent's car, and through its sensors.

python -m experiments.town --output docs/driving
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gymnasium
import numpy as np

from benchmarks.figures import save_picture
from weakspot.cli import exit_code
from weakspot.envs.driving import meshes
from weakspot.envs.driving.chase import chase
from weakspot.envs.driving.classes import PALETTE, colours
from weakspot.envs.driving.env import DriveEnv
from weakspot.envs.driving.sensors import FAR, View, cast, scene_of
from weakspot.envs.driving.world import World
from weakspot.files import make_folder

METRES_A_PIXEL = 0.5
HIGH = 60.0
"""Metres above the ground from which the map is drawn; no house is as high."""


def from_above(world: World) -> np.ndarray:
    """A map of the town (h, w, 3), north up, everything in the colour of its class."""
    town, state = world.town, world.state
    everybody = np.arange(len(state.traffic)), np.arange(len(state.people))
    parts = [meshes.town_mesh(town), meshes.moving_mesh(world, *everybody), meshes.own_car(world)]
    scene = scene_of(meshes.joined(parts))
    edge = town.kerb + 15
    x = np.arange(town.columns[0] - edge, town.columns[-1] + edge, METRES_A_PIXEL)
    y = np.arange(town.rows[-1] + edge, town.rows[0] - edge, -METRES_A_PIXEL)
    origins = np.stack([*np.meshgrid(x, y), np.full((len(y), len(x)), HIGH)], axis=-1).reshape(-1, 3)
    down = np.tile(np.array([0, 0, -1], np.float32), (len(origins), 1))
    _, triangle = cast(scene, origins.astype(np.float32), down)
    lit = 0.5 + 0.5 * scene.shade[triangle][:, None]
    return (PALETTE[scene.classes_now(world)[triangle]] * lit).astype(np.uint8).reshape(len(y), len(x), 3)


def sensed(view: View) -> np.ndarray:
    """Classes, depth and gray side by side (h, 3 w, 3)."""
    near = (255 * (1 - view.depth / FAR)).astype(np.uint8)
    return np.concatenate([colours(view.classes), *(np.repeat(p[..., None], 3, axis=2) for p in (near, view.gray))], axis=1)


def moments(count: int) -> list[DriveEnv]:
    """Environments, each a few seconds into an episode of its own, driven straight on."""
    found = []
    for seed in range(count):
        env = gymnasium.make("weakspot/Drive-v0", render_mode="rgb_array").unwrapped
        assert isinstance(env, DriveEnv)
        env.reset(seed=seed)
        for decision in range(20 + 8 * seed):
            if env.step(1 if decision < 25 else 0)[2]:
                break
        found.append(env)
    return found


def tiled(pictures: list[np.ndarray], columns: int, border: int = 4) -> np.ndarray:
    """Pictures of one size in rows, on white."""
    framed = [np.pad(picture, ((border, border), (border, border), (0, 0)), constant_values=255) for picture in pictures]
    rows = [np.concatenate(framed[at : at + columns], axis=1) for at in range(0, len(framed), columns)]
    return np.concatenate(rows, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/town"))
    output = make_folder(parser.parse_args().output)
    shown = moments(6)
    save_picture(from_above(shown[0].world), output / "map.png")
    save_picture(tiled([chase(env.world) for env in shown[:4]], 2), output / "chase.png")
    save_picture(tiled([sensed(env.view()).repeat(2, axis=0).repeat(2, axis=1) for env in shown], 2), output / "sensors.png")
    print(f"map.png, chase.png and sensors.png are in {output}")


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""Images of the town: from above, from behind the agent's car, and through its sensors.

    python -m experiments.town --output docs/driving

Writes ``map.png``, ``chase.png`` and ``sensors.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lab.command import run_command
from lab.figures import save_figure, save_image
from lab.records import result_folder
from lab.town import SCENES, DriveEnv, class_legend, draw_two_maps, find_scene, from_behind, sensor_images

Scenes: TypeAlias = list[tuple[str, DriveEnv]]
"""Titles, and environments at a scene."""


def find_scenes() -> Scenes:
    """An environment at each of :data:`lab.town.SCENES`."""
    return [(scene.title, find_scene(scene)) for scene in SCENES]


def draw_from_behind(scenes: Scenes, path: Path) -> None:
    """Draws scenes from behind the car."""
    figure = Figure(figsize=(11.8, 7.2), layout="constrained")
    for axes, (title, env) in zip(figure.subplots(2, 2).flat, scenes, strict=True):
        axes.imshow(from_behind(env), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
    save_figure(figure, path)


def draw_sensors(scenes: Scenes, path: Path) -> None:
    """Draws scenes through the sensors, a row each, above a legend of the classes."""
    figure = Figure(figsize=(8.6, 2.75 * len(scenes) + 0.7), layout="constrained")
    for row, (line, (title, env)) in enumerate(zip(figure.subplots(len(scenes), 3), scenes, strict=True)):
        for axes, (sensor, pixels) in zip(line, sensor_images(env).items(), strict=True):
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            if row == 0:
                axes.set_title(sensor, fontsize=10)
        line[0].set_ylabel(title.replace(", ", ",\n"), fontsize=9)
    patches = [Patch(color=colour, label=name) for name, colour in class_legend().items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/town"))
    output, scenes = result_folder(parser.parse_args().output), find_scenes()
    save_image(draw_two_maps(scenes[2][1].world), output / "map.png")
    draw_from_behind(scenes, output / "chase.png")
    draw_sensors(scenes, output / "sensors.png")
    print(f"map.png, chase.png and sensors.png are in {output}")


if __name__ == "__main__":
    run_command(main)

"""Pictures of the town: from above, from behind the agent's car, and through its sensors.

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
from lab.figures import save_figure, save_picture
from lab.records import result_folder
from lab.town import SCENES, DriveEnv, class_legend, draw_two_maps, find_scene, from_behind, sensor_pictures

Moments: TypeAlias = list[tuple[str, DriveEnv]]
"""Titles, and environments at a moment."""


def moments() -> Moments:
    """The moments of :data:`lab.town.SCENES`."""
    return [(scene.title, find_scene(scene)) for scene in SCENES]


def draw_from_behind(shown: Moments, path: Path) -> None:
    """Draws moments from behind the car."""
    figure = Figure(figsize=(11.8, 7.2), layout="constrained")
    for axes, (title, env) in zip(figure.subplots(2, 2).flat, shown, strict=True):
        axes.imshow(from_behind(env), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
    save_figure(figure, path)


def draw_sensors(shown: Moments, path: Path) -> None:
    """Draws moments through the sensors, a row each, above a legend of the classes."""
    figure = Figure(figsize=(8.6, 2.75 * len(shown) + 0.7), layout="constrained")
    for row, (line, (title, env)) in enumerate(zip(figure.subplots(len(shown), 3), shown, strict=True)):
        for axes, (sensor, picture) in zip(line, sensor_pictures(env).items(), strict=True):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
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
    output, shown = result_folder(parser.parse_args().output), moments()
    save_picture(draw_two_maps(shown[2][1].world), output / "map.png")
    draw_from_behind(shown, output / "chase.png")
    draw_sensors(shown, output / "sensors.png")
    print(f"map.png, chase.png and sensors.png are in {output}")


if __name__ == "__main__":
    run_command(main)

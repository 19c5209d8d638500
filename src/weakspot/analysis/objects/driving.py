"""What is in the way: which classes frames of the driving environments show on the car's own path, and which anywhere.

Where something stands follows from the camera alone: the lowest pixel that shows it is where it meets the ground, and a
pixel of the ground is so far ahead and so far to the side.  Something is on the path if it meets the ground where the car
gets by driving straight on.  What is nearer than the ground that the lowest pixels show meets them instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.analysis.objects.classes import LEAST_PIXELS, has_classes
from weakspot.envs.driving.classes import CLASS_NAMES, SemanticClass
from weakspot.envs.driving.sensors import Camera
from weakspot.errors import ConfigError
from weakspot.types import Stacks

FARTHEST = 25.0
"""Metres ahead of the camera; at 50 km/h brakes need 13."""
HALF_WIDTH = 1.5
"""Metres to either side: the car and half a metre beyond; cars that are parked beside the lane are further away."""
NEAR = 4.0
"""Metres to either side of what is near the path: the street from its kerb to the other lane, and nobody on the pavement."""


@dataclass(frozen=True)
class Seen:
    """What pictures show, each an array (n,) of bool.

    Attributes:
        counts: by the name of what is to be seen; who is on the path is near it, too.
        empty: nobody and no car on the path, and no red light anywhere.
    """

    counts: dict[str, np.ndarray]
    empty: np.ndarray

    def reasons(self) -> dict[str, np.ndarray]:
        """Which pictures (n,) show what a driver may brake for, and which show people and nothing else of it."""
        told = {name: self.counts[name] for name in ("person on the path", "person near the path")}
        others = {name: self.counts[name] for name in ("car on the path", "red light")}
        free = ~np.logical_or(*others.values())
        return {
            **told,
            **others,
            **{f"{name}, no car on it, no red light": there & free for name, there in told.items()},
            "nothing in the way": self.empty,
        }


def seen(classes: np.ndarray, camera: Camera) -> Seen:
    """What pictures of classes (n, h, w) show.

    Raises:
        ConfigError: they are not of the camera's size.
    """
    if classes.ndim != 3 or classes.shape[1:] != (camera.height, camera.width):
        raise ConfigError(
            f"classes of shape {classes.shape}", expected=f"(n, {camera.height}, {camera.width}), as the camera sees them"
        )
    ground = path_ground(camera)
    counts = {
        "person on the path": shows_on(classes, SemanticClass.PEDESTRIAN, ground),
        "person near the path": shows_on(classes, SemanticClass.PEDESTRIAN, path_ground(camera, NEAR)),
        "person anywhere": shows(classes, SemanticClass.PEDESTRIAN),
        "car on the path": shows_on(classes, SemanticClass.CAR, ground),
        "car anywhere": shows(classes, SemanticClass.CAR),
        "red light": shows(classes, SemanticClass.RED_LIGHT),
        "green light": shows(classes, SemanticClass.GREEN_LIGHT),
    }
    return Seen(counts, ~(counts["person on the path"] | counts["car on the path"] | counts["red light"]))


def path_ground(camera: Camera, half_width: float = HALF_WIDTH) -> np.ndarray:
    """The pixels (h, w) bool that show the ground on the car's path, so many metres to either side, of a camera that is not
    tilted."""
    across = camera.width / 2 - 0.5 - np.arange(camera.width)
    down = np.arange(camera.height) + 0.5 - camera.height / 2
    ahead = camera.focal * camera.up / np.maximum(down, 1e-9)
    aside = np.abs(across[None, :]) / camera.focal * ahead[:, None]
    return (ahead <= FARTHEST)[:, None] & (aside <= half_width)


def classes_of(stacks: Stacks, channels: tuple[str, ...]) -> np.ndarray:
    """The most probable class (n, h, w) of each pixel in the newest frame of stacks (n, k, h, w, c).

    Args:
        channels: what the channels are called; see :class:`weakspot.envs.driving.env.DriveEnv`.

    Raises:
        ConfigError: they hold no classes.
    """
    if not has_classes(channels):
        raise ConfigError(f"frames with the channels {', '.join(channels)}", expected="a channel for each semantic class")
    return stacks[:, -1][..., [channels.index(name) for name in CLASS_NAMES]].argmax(axis=-1)


def shows(classes: np.ndarray, what: SemanticClass) -> np.ndarray:
    """Which pictures (n,) of classes (n, h, w) show a class."""
    return (classes == what).sum(axis=(1, 2)) >= LEAST_PIXELS


def shows_on(classes: np.ndarray, what: SemanticClass, ground: np.ndarray) -> np.ndarray:
    """Which pictures (n,) of classes (n, h, w) show a class that meets the ground on some of its pixels (h, w)."""
    there = classes == what
    above, below = np.zeros_like(there), np.zeros_like(there)
    above[:, 1:], below[:, :-1] = there[:, :-1], there[:, 1:]
    return (there & above & ~below & ground).any(axis=(1, 2))


def shares(classes: np.ndarray) -> np.ndarray:
    """Mean share of each class (10,) of the pixels of pictures of classes (n, h, w)."""
    return np.bincount(classes.ravel(), minlength=len(CLASS_NAMES)) / classes.size

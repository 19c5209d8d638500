"""Objects in the car's way: which semantic classes frames of the driving environments show on its path, and which anywhere.

The position of an object follows from the camera alone: its lowest pixel is where it meets the ground, and for each pixel of
the ground the distance ahead and to the side is known.  An object is on the path if it meets the ground where the car would
drive straight on.  An object nearer than the ground at the lower edge of the image counts as meeting it there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.analysis.objects.classes import MIN_PIXELS, has_classes
from weakspot.envs.driving.classes import CLASS_NAMES, SemanticClass
from weakspot.envs.driving.sensors import Camera
from weakspot.errors import ConfigError
from weakspot.types import Stacks

MAX_DISTANCE = 25.0
"""Length of the path in metres ahead of the camera; the braking distance at 50 km/h is 13 m."""
HALF_WIDTH = 1.5
"""Metres to either side that belong to the path: the car and half a metre beyond, but not cars parked next to the lane."""
NEAR = 4.0
"""Metres to either side that are near the path: the street from its kerb to the other lane, without the pavement."""


@dataclass(frozen=True)
class VisibleObjects:
    """The objects visible in n images, as arrays (n,) of bool.

    Attributes:
        counts: by the name of the observation, such as "car on the path"; people on the path are also near it.
        empty: no person and no car on the path, and no red light anywhere.
    """

    counts: dict[str, np.ndarray]
    empty: np.ndarray

    def reasons(self) -> dict[str, np.ndarray]:
        """Which images (n,) show a reason to brake, and which show a person and no other reason."""
        people = {name: self.counts[name] for name in ("person on the path", "person near the path")}
        others = {name: self.counts[name] for name in ("car on the path", "red light")}
        free = ~np.logical_or(*others.values())
        return {
            **people,
            **others,
            **{f"{name}, no car on it, no red light": visible & free for name, visible in people.items()},
            "nothing in the way": self.empty,
        }


def visible_objects(classes: np.ndarray, camera: Camera) -> VisibleObjects:
    """The objects visible in images.

    Args:
        classes: semantic class of each pixel (n, h, w).
        camera: that rendered the images.

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
    return VisibleObjects(counts, ~(counts["person on the path"] | counts["car on the path"] | counts["red light"]))


def path_ground(camera: Camera, half_width: float = HALF_WIDTH) -> np.ndarray:
    """The pixels (h, w), as bool, that show the ground on the car's path.

    Args:
        camera: not tilted.
        half_width: metres to either side that belong to the path.
    """
    across = camera.width / 2 - 0.5 - np.arange(camera.width)
    down = np.arange(camera.height) + 0.5 - camera.height / 2
    ahead = camera.focal * camera.up / np.maximum(down, 1e-9)
    aside = np.abs(across[None, :]) / camera.focal * ahead[:, None]
    return (ahead <= MAX_DISTANCE)[:, None] & (aside <= half_width)


def classes_of(stacks: Stacks, channels: tuple[str, ...]) -> np.ndarray:
    """The most probable class (n, h, w) of each pixel in the newest frame of stacks (n, k, h, w, c).

    Args:
        stacks: with one channel per class.
        channels: names of the channels; see :class:`weakspot.envs.driving.env.DriveEnv`.

    Raises:
        ConfigError: there is not a channel for each class.
    """
    if not has_classes(channels):
        raise ConfigError(f"frames with the channels {', '.join(channels)}", expected="a channel for each semantic class")
    return stacks[:, -1][..., [channels.index(name) for name in CLASS_NAMES]].argmax(axis=-1)


def shows(classes: np.ndarray, what: SemanticClass) -> np.ndarray:
    """Which images (n,) of classes (n, h, w) show the class ``what``."""
    return (classes == what).sum(axis=(1, 2)) >= MIN_PIXELS


def shows_on(classes: np.ndarray, what: SemanticClass, ground: np.ndarray) -> np.ndarray:
    """Which images (n,) of classes (n, h, w) show the class ``what`` meeting the ground at one of the pixels ``ground``
    (h, w)."""
    mask = classes == what
    above, below = np.zeros_like(mask), np.zeros_like(mask)
    above[:, 1:], below[:, :-1] = mask[:, :-1], mask[:, 1:]
    return (mask & above & ~below & ground).any(axis=(1, 2))


def shares(classes: np.ndarray) -> np.ndarray:
    """Share of each class (10,) of the pixels of images of classes (n, h, w)."""
    return np.bincount(classes.ravel(), minlength=len(CLASS_NAMES)) / classes.size

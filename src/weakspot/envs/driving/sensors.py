"""The driver's view by ray casting: depth, semantic classes and shaded gray.

One ray is cast through the centre of each pixel.  The town is one scene, built once.  Cars and people are a second, small
scene, built again for every image; only the rays that come near them are cast into it.  Of two hits the nearer one counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np

from weakspot.envs.driving import meshes, pedestrians
from weakspot.envs.driving.classes import SemanticClass
from weakspot.envs.driving.meshes import Mesh
from weakspot.envs.driving.signals import GREEN
from weakspot.envs.driving.town import TownConfig, is_number, is_whole
from weakspot.envs.driving.world import World, layout
from weakspot.errors import ConfigError

try:
    mesh_construction, rtcore, rtcore_scene = (  # embreex has no type annotations
        import_module(f"embreex.{name}") for name in ("mesh_construction", "rtcore", "rtcore_scene")
    )
except ImportError as error:
    raise ConfigError(
        f"the sensors of the driving environments cannot be loaded: {error}",
        expected="embreex, which casts their rays",
        todo="pip install 'weakspot[driving]'",
    ) from error


@runtime_checkable
class RayScene(Protocol):
    """The part of embreex's ``EmbreeScene`` that is used here."""

    def run(self, origins: np.ndarray, directions: np.ndarray, *, query: str, output: int | None = None) -> Any:
        """Casts rays with origins and directions (n, 3) float32."""
        ...


DEVICE: Any = rtcore.EmbreeDevice()
FAR = 100.0
"""Range of the sensors in metres; everything beyond is sky."""
SUN = np.array([0.45, 0.3, 0.84], np.float32)
"""Direction towards the sun."""
AMBIENT = 0.45
"""Brightness of surfaces that face away from the sun."""
SKY_SHADE = 0.85
HAZE = 0.5
"""Fraction of the contrast that the haze takes away at ``FAR``."""
MIN_PIXELS, MAX_PIXELS = 16, 1024
NEAREST = 0.3
"""Minimum distance in metres at which the size of something in the image is computed."""
CAR_RADIUS, PERSON_RADIUS = 2.7, 0.6
"""Radius in metres of upright cylinders that contain a car, or a person."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        height, width: of the image in pixels.
        view: horizontal field of view in degrees.
        ahead, up: position relative to the centre of the car, in metres.
        tilt: angle in degrees by which it points down.

    Raises:
        ConfigError: a size or an angle is out of range.
    """

    height: int = 128
    width: int = 128
    view: float = 75.0
    ahead: float = 0.5
    up: float = 1.5
    tilt: float = 0.0

    def __post_init__(self) -> None:
        if not all(is_whole(pixels) and MIN_PIXELS <= pixels <= MAX_PIXELS for pixels in (self.height, self.width)):
            raise ConfigError(
                f"images of {self.height!r} by {self.width!r} pixels",
                expected=f"whole numbers, both from {MIN_PIXELS} to {MAX_PIXELS}",
            )
        angles = is_number(self.view) and 10 <= self.view <= 150 and is_number(self.tilt) and -60 <= self.tilt <= 60
        if not (angles and is_number(self.ahead) and is_number(self.up)):
            raise ConfigError(
                f"a camera with view = {self.view!r}, tilt = {self.tilt!r}, ahead = {self.ahead!r}, up = {self.up!r}",
                expected="numbers: a view from 10 to 150 degrees, and a tilt from -60 to 60",
            )

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / 2 / float(np.tan(np.radians(self.view) / 2))

    @cached_property
    def rays(self) -> np.ndarray:
        """Unit directions (height, width, 3) float32 of the rays, as (ahead, left, up)."""
        across = (self.width / 2 - 0.5 - np.arange(self.width)) / self.focal
        up = (self.height / 2 - 0.5 - np.arange(self.height)) / self.focal
        rays = np.stack(np.broadcast_arrays(1.0, across[None, :], up[:, None]), axis=-1)
        tilt = np.radians(self.tilt)
        turned = rays.copy()
        turned[..., 0] = rays[..., 0] * np.cos(tilt) + rays[..., 2] * np.sin(tilt)
        turned[..., 2] = rays[..., 2] * np.cos(tilt) - rays[..., 0] * np.sin(tilt)
        return (turned / np.linalg.norm(turned, axis=-1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class View:
    """The image of a camera.

    Attributes:
        depth: (h, w) float32, metres along each ray, ``FAR`` for the sky.
        classes: (h, w) uint8, numbers of :class:`SemanticClass`.
        gray: (h, w) uint8.
    """

    depth: np.ndarray
    classes: np.ndarray
    gray: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Triangles that rays can be cast at, and their classes and brightness.

    Attributes:
        scene: Embree's scene.
        classes: (n + 1,) uint8, class of each triangle; the last one is the sky, which index -1 of rays without a hit
            selects.
        shade: (n + 1,) float32, brightness of each triangle in the sun, and of the sky.
        lit: (m,) the triangles of traffic lights, whose class depends on the light's colour.
        light: (m,) which light each of those belongs to; see :class:`weakspot.envs.driving.meshes.Mesh`.
    """

    scene: RayScene
    classes: np.ndarray
    shade: np.ndarray
    lit: np.ndarray
    light: np.ndarray

    def classes_now(self, world: World) -> np.ndarray:
        """The classes (n + 1,), with the current colours of the traffic lights."""
        classes = self.classes.copy()
        green = world.lights.ravel()[self.light] == GREEN
        classes[self.lit] = np.where(green, SemanticClass.GREEN_LIGHT, SemanticClass.RED_LIGHT)
        return classes


def scene_of(mesh: Mesh) -> Scene:
    """Builds the scene of a mesh, and computes the brightness of its triangles in the sun."""
    scene: RayScene = rtcore_scene.EmbreeScene(DEVICE)
    mesh_construction.TriangleMesh(scene, mesh.corners)
    corners = np.ascontiguousarray(mesh.corners.reshape(-1, 9).T)
    (ax, ay, az), (bx, by, bz) = corners[3:6] - corners[:3], corners[6:] - corners[:3]
    x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-9))
    lit = AMBIENT + (1 - AMBIENT) * np.maximum((x * SUN[0] + y * SUN[1] + z * SUN[2]) / length, 0.0)
    lights = np.flatnonzero(mesh.light >= 0)
    return Scene(
        scene,
        np.append(mesh.classes, np.uint8(SemanticClass.SKY)),
        np.append(mesh.shade * lit, SKY_SHADE).astype(np.float32),
        lights,
        mesh.light[lights],
    )


@lru_cache(maxsize=4)
def town_scene(config: TownConfig) -> Scene:
    """The scene of a town, built once."""
    return scene_of(meshes.town_mesh(layout(config)[0]))


def look(world: World, camera: Camera) -> View:
    """The view of the agent's driver.

    Raises:
        ConfigError: the camera is tilted; see :func:`moving_parts`.
    """
    origin, directions = rays_of(world, camera)
    town = town_scene(world.config.town)
    distance, triangle = cast(town, origin, directions)
    classes, shade = town.classes_now(world).take(triangle), town.shade.take(triangle)
    mesh, near = moving_parts(world, camera)
    if len(near):
        moving = scene_of(mesh)
        moving_distance, moving_triangle = cast(moving, origin, directions[near])
        hit = np.flatnonzero(moving_distance < distance[near])
        pixel, triangle = near[hit], moving_triangle[hit]
        distance[pixel] = moving_distance[hit]
        classes[pixel], shade[pixel] = moving.classes[triangle], moving.shade[triangle]
    shade -= np.float32(SKY_SHADE)
    shade *= np.float32(1) - distance * np.float32(HAZE / FAR)
    shade += np.float32(SKY_SHADE)
    shade *= np.float32(255)
    gray = shade.astype(np.uint8)
    shape = camera.height, camera.width
    return View(distance.reshape(shape), classes.reshape(shape), gray.reshape(shape))


def rays_of(world: World, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Position (3,) of the camera, and directions (h w, 3) of its rays, float32, in the town's coordinates."""
    car = world.state.car
    cos, sin = car.direction
    x, y = car.middle
    origin = np.array([x + camera.ahead * cos, y + camera.ahead * sin, camera.up], np.float32)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)
    turned = (
        camera.rays @ turn
    )  # one product per row: a single large one would start threads, which fails in a forked process
    return origin, turned.reshape(-1, 3)


def cast(scene: Scene, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (n,) that each ray gets, at most ``FAR``, and the triangle (n,) that it hits, -1 for none."""
    origins = np.broadcast_to(origin, directions.shape).astype(np.float32)
    hits: dict[str, np.ndarray] = scene.scene.run(origins, np.ascontiguousarray(directions), query="INTERSECT", output=1)
    distance, triangle = hits["tfar"], hits["primID"]
    np.minimum(distance, np.float32(FAR), out=distance)
    np.putmask(triangle, distance >= FAR, -1)
    return distance, triangle


def moving_parts(world: World, camera: Camera) -> tuple[Mesh, np.ndarray]:
    """A mesh of the cars and people in view, and the numbers (n,) of the rays that come near them.

    Raises:
        ConfigError: the camera is tilted; the rays near something are only computed for level cameras.
    """
    if camera.tilt:
        raise ConfigError(f"a driver's camera tilted by {camera.tilt} degrees", expected="a level camera: tilt = 0")
    positions, people = world.cars()[0], world.pedestrian_positions()
    cars = len(positions)
    radius, height = _sizes(cars, len(people))
    seen, parts = _in_view(np.concatenate([positions, people]), radius, height, camera, world)
    mesh = meshes.moving_mesh(world, seen[seen < cars], seen[seen >= cars] - cars)
    covered = np.zeros((camera.height, camera.width), bool)
    for top, bottom, left, right in parts.tolist():
        covered[top:bottom, left:right] = True
    return mesh, np.flatnonzero(covered)


@lru_cache(maxsize=8)
def _sizes(cars: int, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Radius and height (n,) of cylinders that contain the cars and the people."""
    radius = np.repeat([CAR_RADIUS, PERSON_RADIUS], [cars, people])
    height = np.repeat([meshes.CAR_HEIGHT, pedestrians.BODY_HEIGHT + meshes.PAVEMENT_HEIGHT], [cars, people])
    return radius, height


def _in_view(
    positions: np.ndarray,
    radius: np.ndarray,
    height: np.ndarray,
    camera: Camera,
    world: World,
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the upright cylinders at ``positions`` (m, 2) the camera may see (n,), and the part of the image that each
    covers: top, bottom, left and right (n, 4).  Bottom and right are exclusive, and may be outside the image."""
    (middle_x, middle_y), heading = world.state.car.middle, world.state.car.direction
    x = positions[:, 0] - (middle_x + camera.ahead * heading[0])
    y = positions[:, 1] - (middle_y + camera.ahead * heading[1])
    ahead, left = x * heading[0] + y * heading[1], y * heading[0] - x * heading[1]
    edge = camera.width / 2 / camera.focal
    wide = np.maximum(ahead + radius, NEAREST) * edge + radius
    chosen = np.flatnonzero((ahead > -radius) & (ahead < FAR + radius) & (np.abs(left) <= wide))
    ahead, left, radius, height = ahead[chosen], left[chosen], radius[chosen], height[chosen]
    front, back = np.maximum(ahead - radius, NEAREST), np.maximum(ahead + radius, NEAREST)

    def span(middle: float, low: np.ndarray | float, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last pixel of something that reaches from ``low`` to ``high``, in metres up or to the left."""
        first = middle - camera.focal * np.maximum(high / front, high / back)
        last = middle - camera.focal * np.minimum(low / front, low / back)
        return first - 1, last + 2

    rows = span(camera.height / 2, -camera.up, height - camera.up)
    columns = span(camera.width / 2, left - radius, left + radius)
    return chosen, np.maximum(np.array([*rows, *columns]).T, 0).astype(np.int64)

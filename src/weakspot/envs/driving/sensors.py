"""What the driver sees, by ray casting: depth, semantic classes and shaded gray.

One ray goes through the middle of each pixel.  The town is one scene, built once; what moves is a second, small one, built
anew for every picture, and only the rays that come near it are cast into it.  Of two hits the nearer one counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from weakspot.envs.driving import meshes, pedestrians
from weakspot.envs.driving.classes import SemanticClass
from weakspot.envs.driving.meshes import Mesh
from weakspot.envs.driving.signals import GREEN
from weakspot.envs.driving.town import TownConfig, is_number, is_whole
from weakspot.envs.driving.world import World, layout
from weakspot.errors import ConfigError

try:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore import EmbreeDevice
    from embreex.rtcore_scene import EmbreeScene
except ImportError as error:
    raise ConfigError(
        f"the sensors of the driving environments cannot be loaded: {error}",
        expected="embreex, which casts their rays",
        todo="pip install 'weakspot[driving]'",
    ) from error

DEVICE = EmbreeDevice()
FAR = 100.0
"""Metres to which the sensors reach; beyond is sky."""
SUN = np.array([0.45, 0.3, 0.84], np.float32)
AMBIENT = 0.45
SKY_SHADE = 0.85
HAZE = 0.5
"""How much of what is at ``FAR`` is lost in the haze."""
SMALLEST, LARGEST = 16, 1024
NEAREST = 0.3
CAR_RADIUS, PERSON_RADIUS = 2.7, 0.6
"""Of upright cylinders that hold a car, or a person, in metres."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        height, width: of its picture in pixels.
        view: the angle from the left edge to the right one, in degrees.
        ahead, up: where it is, from the middle of the car, in metres.
        tilt: degrees it looks down.

    Raises:
        ConfigError: a size or angle that no picture has.
    """

    height: int = 128
    width: int = 128
    view: float = 75.0
    ahead: float = 0.5
    up: float = 1.5
    tilt: float = 0.0

    def __post_init__(self) -> None:
        if not all(is_whole(pixels) and SMALLEST <= pixels <= LARGEST for pixels in (self.height, self.width)):
            raise ConfigError(
                f"pictures of {self.height!r} by {self.width!r} pixels",
                expected=f"whole numbers, {SMALLEST} to {LARGEST} each way",
            )
        angles = is_number(self.view) and 10 <= self.view <= 150 and is_number(self.tilt) and -60 <= self.tilt <= 60
        if not (angles and is_number(self.ahead) and is_number(self.up)):
            raise ConfigError(
                f"a camera with view = {self.view!r}, tilt = {self.tilt!r}, ahead = {self.ahead!r}, up = {self.up!r}",
                expected="numbers: a view from 10 to 150 degrees, tilted by 60 at most",
            )

    @property
    def focal(self) -> float:
        """Pixels that something one metre wide covers at one metre."""
        return self.width / 2 / float(np.tan(np.radians(self.view) / 2))

    @cached_property
    def rays(self) -> np.ndarray:
        """Unit directions (height, width, 3) float32: ahead, left, up, row by row from the top left."""
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
    """A picture.

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
    """Triangles that rays can be cast at, with what is known of each.

    Attributes:
        scene: Embree's.
        classes: (n + 1,) uint8, the last of them the sky's, so that index -1 is what a ray meets that meets nothing.
        shade: (n + 1,) float32, how bright each triangle is in this light, and the sky.
        lit: (m,) the triangles of traffic lights, which take their class from what the light shows.
        light: (m,) which light each of those belongs to; see :class:`weakspot.envs.driving.meshes.Mesh`.
    """

    scene: EmbreeScene
    classes: np.ndarray
    shade: np.ndarray
    lit: np.ndarray
    light: np.ndarray

    def classes_now(self, world: World) -> np.ndarray:
        """The classes, as the traffic lights stand."""
        classes = self.classes.copy()
        green = world.lights.ravel()[self.light] == GREEN
        classes[self.lit] = np.where(green, SemanticClass.GREEN_LIGHT, SemanticClass.RED_LIGHT)
        return classes


def scene_of(mesh: Mesh) -> Scene:
    """A mesh, ready for rays; the light falls on it from one side."""
    scene = EmbreeScene(DEVICE)
    TriangleMesh(scene, mesh.corners)
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
    """The scene of a town, made once."""
    return scene_of(meshes.town_mesh(layout(config)[0]))


def look(world: World, camera: Camera) -> View:
    """What the driver of the agent's car sees.

    Raises:
        ConfigError: the camera is tilted.
    """
    origin, directions = rays_of(world, camera)
    town = town_scene(world.config.town)
    distance, triangle = cast(town, origin, directions)
    classes, shade = town.classes_now(world).take(triangle), town.shade.take(triangle)
    mesh, near = moving_parts(world, camera)
    if len(near):
        moving = scene_of(mesh)
        closer, what = cast(moving, origin, directions[near])
        hit = np.flatnonzero(closer < distance[near])
        seen, what = near[hit], what[hit]
        distance[seen], classes[seen], shade[seen] = closer[hit], moving.classes[what], moving.shade[what]
    shade -= np.float32(SKY_SHADE)
    shade *= np.float32(1) - distance * np.float32(HAZE / FAR)
    shade += np.float32(SKY_SHADE)
    shade *= np.float32(255)
    gray = shade.astype(np.uint8)
    shape = camera.height, camera.width
    return View(distance.reshape(shape), classes.reshape(shape), gray.reshape(shape))


def rays_of(world: World, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where the camera is (3,), and the directions (h w, 3) of its rays, float32."""
    car = world.state.car
    cos, sin = car.direction
    x, y = car.middle
    origin = np.array([x + camera.ahead * cos, y + camera.ahead * sin, camera.up], np.float32)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)
    turned = camera.rays @ turn  # row by row: one large product would start threads, which a forked process lacks
    return origin, turned.reshape(-1, 3)


def cast(scene: Scene, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far rays get (n,), at most ``FAR``, and which triangle each meets (n,), -1 for none."""
    origins = np.broadcast_to(origin, directions.shape).astype(np.float32)
    met = scene.scene.run(origins, np.ascontiguousarray(directions), query="INTERSECT", output=1)
    distance, triangle = met["tfar"], met["primID"]
    np.minimum(distance, np.float32(FAR), out=distance)
    np.putmask(triangle, distance >= FAR, -1)
    return distance, triangle


def moving_parts(world: World, camera: Camera) -> tuple[Mesh, np.ndarray]:
    """The cars and people in view, and the numbers of the rays that come near them.

    Raises:
        ConfigError: the camera is tilted; which rays come near what is known of level ones only.
    """
    if camera.tilt:
        raise ConfigError(f"a driver's camera tilted by {camera.tilt} degrees", expected="a level one: tilt = 0")
    places, feet = world.cars()[0], world.feet()
    cars = len(places)
    radius, height = _sizes(cars, len(feet))
    seen, parts = _in_view(np.concatenate([places, feet]), radius, height, camera, world)
    mesh = meshes.moving_mesh(world, seen[seen < cars], seen[seen >= cars] - cars)
    covered = np.zeros((camera.height, camera.width), bool)
    for top, bottom, left, right in parts.tolist():
        covered[top:bottom, left:right] = True
    return mesh, np.flatnonzero(covered)


@lru_cache(maxsize=8)
def _sizes(cars: int, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Radius and height of the cylinders round so many cars and people (n,)."""
    radius = np.repeat([CAR_RADIUS, PERSON_RADIUS], [cars, people])
    height = np.repeat([meshes.CAR_HEIGHT, pedestrians.BODY_HEIGHT + meshes.PAVEMENT_HEIGHT], [cars, people])
    return radius, height


def _in_view(
    places: np.ndarray,
    radius: np.ndarray,
    height: np.ndarray,
    camera: Camera,
    world: World,
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the upright cylinders at ``places`` the camera may see, and the part of the picture that each lies in:
    top, bottom, left and right (n, 4), the ends not included; bottom and right may lie beyond the picture."""
    (middle_x, middle_y), heading = world.state.car.middle, world.state.car.direction
    x = places[:, 0] - (middle_x + camera.ahead * heading[0])
    y = places[:, 1] - (middle_y + camera.ahead * heading[1])
    ahead, left = x * heading[0] + y * heading[1], y * heading[0] - x * heading[1]
    edge = camera.width / 2 / camera.focal
    wide = np.maximum(ahead + radius, NEAREST) * edge + radius
    chosen = np.flatnonzero((ahead > -radius) & (ahead < FAR + radius) & (np.abs(left) <= wide))
    ahead, left, radius, height = ahead[chosen], left[chosen], radius[chosen], height[chosen]
    front, back = np.maximum(ahead - radius, NEAREST), np.maximum(ahead + radius, NEAREST)

    def span(middle: float, low: np.ndarray | float, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pixels from one end to the other of what reaches from ``low`` to ``high``, in metres up or to the left."""
        first = middle - camera.focal * np.maximum(high / front, high / back)
        last = middle - camera.focal * np.minimum(low / front, low / back)
        return first - 1, last + 2

    rows = span(camera.height / 2, -camera.up, height - camera.up)
    columns = span(camera.width / 2, left - radius, left + radius)
    return chosen, np.maximum(np.array([*rows, *columns]).T, 0).astype(np.int64)

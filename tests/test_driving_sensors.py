"""The sensors of the driver, compared with geometry and with a single scene of all objects."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from weakspot.envs.driving import meshes
from weakspot.envs.driving.bicycle import Car
from weakspot.envs.driving.chase import CAMERA, chase
from weakspot.envs.driving.classes import CLASS_NAMES, SemanticClass, colours, semantic_class
from weakspot.envs.driving.meshes import Mesh, concat_meshes
from weakspot.envs.driving.sensors import FAR, Camera, cast, look, moving_parts, rays_of, scene_of, town_scene
from weakspot.envs.driving.town import CAR_LENGTH, TownConfig
from weakspot.envs.driving.world import World, WorldConfig
from weakspot.errors import ConfigError

SMALL = Camera(48, 64)


def world_with(cars=0, people=0, seed=0, **town):
    world = World(WorldConfig(TownConfig(seed=0, blocks=(2, 2), **town), cars=cars, people=people))
    world.reset(seed)
    return world


def put(world, x, y, heading):
    cos, sin = math.cos(heading), math.sin(heading)
    world.state = replace(world.state, car=Car(x - 1.35 * cos, y - 1.35 * sin, heading))


def test_depth_of_the_street_matches_geometry():
    view, rays = look(world_with(trees=0.0, parking=0.0), Camera()), Camera().rays
    street = view.classes == SemanticClass.ROAD
    assert street.sum() > 3000
    assert np.allclose(view.depth[street], Camera().up / -rays[..., 2][street], rtol=2e-3)


def test_depth_of_a_wall_matches_geometry():
    wall = np.array([[[20, -30, 0], [20, 30, 0], [20, 30, 40]], [[20, -30, 0], [20, 30, 40], [20, -30, 40]]], np.float32)
    mesh = Mesh(wall, np.full(2, SemanticClass.BUILDING, np.uint8), np.ones(2, np.float32), np.full(2, -1, np.int32))
    camera = Camera(32, 32, view=60.0)
    distance, triangle = cast(scene_of(mesh), np.array([0, 0, 10], np.float32), camera.rays.reshape(-1, 3))
    ahead = camera.rays.reshape(-1, 3)[:, 0]
    hit = triangle >= 0
    assert hit.mean() > 0.8
    assert np.allclose(distance[hit], 20 / ahead[hit], rtol=1e-5)
    assert (distance[~hit] == FAR).all()


@given(st.integers(0, 30), st.floats(6, 60))
@settings(max_examples=15)
def test_depth_of_the_car_ahead_matches_its_distance(seed, gap):
    world = world_with(cars=1, seed=seed)
    (position,), (heading,) = world.cars()
    camera_position = position - (gap + CAR_LENGTH / 2) * heading
    put(world, float(camera_position[0]), float(camera_position[1]), math.atan2(heading[1], heading[0]))
    camera = Camera(129, 129, up=0.7)
    view = look(world, camera)
    if view.classes[64, 64] == SemanticClass.CAR:  # nothing is in between
        assert view.depth[64, 64] <= gap - camera.ahead + 1e-2
        assert view.depth[64, 64] == pytest.approx(gap - camera.ahead, abs=1e-2) or view.depth[64, 64] < gap - 1.0
    else:
        assert view.depth[64, 64] < gap


@given(st.integers(0, 10_000))
@example(1630)  # four decisions after a collision, the camera would be inside the roof of the other car
@settings(max_examples=25)
def test_two_scenes_with_fewer_rays_match_a_single_scene(seed):
    """The reference casts all rays at one scene of all objects."""
    world = world_with(cars=12, people=60, seed=seed)
    for _ in range(seed % 40):
        if world.step(0.2, 1.0).cause:
            break  # which ends every episode
    moving = meshes.moving_mesh(world, np.arange(12), np.arange(60))
    single_scene = scene_of(concat_meshes([meshes.town_mesh(world.town), moving]))
    distance, triangle = cast(single_scene, *rays_of(world, SMALL))
    view = look(world, SMALL)
    same = view.classes.ravel() == single_scene.classes_now(world)[triangle]
    assert np.allclose(view.depth.ravel()[same], distance[same], atol=1e-3)
    assert same.mean() > 0.999  # where two surfaces are equally far, either may come first


def test_classes_of_lights_match_their_state():
    world = world_with()
    scene = town_scene(world.config.town)
    visible = set()
    for started in range(0, 340, 10):
        world.state = replace(world.state, started=started)
        classes = scene.classes_now(world)
        for part, number in zip(scene.lit, scene.light, strict=True):
            light = world.lights.ravel()[number]
            assert classes[part] == (SemanticClass.GREEN_LIGHT if light == 0 else SemanticClass.RED_LIGHT)
            visible.add(int(classes[part]))
    assert visible == {SemanticClass.GREEN_LIGHT, SemanticClass.RED_LIGHT}


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("away", [0.0, 2.0, 5.0, 10.0, 20.0])
def test_drivers_see_the_light_that_applies_to_them(size, away):
    """On every arm, within twenty metres of the stop line, the light is visible and no other one is as large."""
    world = world_with(cars=0)
    town, camera = world.town, Camera(size, size)
    back = town.stop_line + away + CAR_LENGTH / 2
    for axis, ahead in ((0, (1, 0)), (0, (-1, 0)), (1, (0, 1)), (1, (0, -1))):
        east, north = ahead
        right = town.config.lane_width / 2
        x, y = town.columns[1] - back * east + right * north, town.rows[1] - back * north - right * east
        for started in range(0, 340, 20):
            world.state = replace(world.state, started=started)
            put(world, float(x), float(y), math.atan2(north, east))
            green = int(world.lights[axis, 1, 1] == 0)
            classes = look(world, camera).classes
            count = [int((classes == light).sum()) for light in (SemanticClass.RED_LIGHT, SemanticClass.GREEN_LIGHT)]
            assert count[green] >= 4 and count[green] > 2 * count[1 - green], (ahead, started, count)


def test_every_class_can_be_seen():
    world, visible = World(WorldConfig(TownConfig(seed=0))), set()
    for seed in range(12):
        world.reset(seed)
        visible |= set(np.unique(look(world, Camera()).classes).tolist())
    assert visible == set(range(len(CLASS_NAMES)))


def test_only_the_sky_has_the_maximum_depth():
    view = look(world_with(), Camera())
    sky = view.classes == SemanticClass.SKY
    assert (view.depth[sky] == FAR).all() and (view.depth[~sky] < FAR).all()
    assert view.depth.min() > 0 and view.gray[sky].std() == 0


def test_people_on_the_phone_bend_their_heads():
    positions, headings = np.zeros((2, 2)), np.tile([1.0, 0.0], (2, 1))
    mesh = meshes.people(positions, headings, np.array([False, True]), np.ones(2, bool))
    heads = mesh.corners.reshape(2, -1, 3)[:, -3 * meshes.FACES :]
    assert (heads[1, :, 0] - heads[0, :, 0] == pytest.approx(meshes.PHONE_BEND, abs=1e-6)) and (
        heads[1, :, 1:] == heads[0, :, 1:]
    ).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 8}, {"width": 2000}, {"view": 0.0}, {"view": 179.0}, {"tilt": 90.0},
        {"up": math.nan}, {"ahead": math.inf}, {"tilt": math.nan},
    ],
)  # fmt: skip
def test_invalid_cameras_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        Camera(**wrong)


def test_classes_have_names_and_colours():
    assert semantic_class("red_light") is SemanticClass.RED_LIGHT
    with pytest.raises(ConfigError, match="pedestrian"):
        semantic_class("unicorn")
    with pytest.raises(ConfigError, match="float64"):
        colours(np.array([1.0, 2.0]))
    assert colours(np.arange(10)).shape == (10, 3) and len(np.unique(colours(np.arange(10)), axis=0)) == 10
    with pytest.raises(ConfigError, match="0 to 9"):
        colours(np.array([10]))


def test_the_view_from_behind_shows_the_car_and_its_light():
    world = world_with(cars=5, people=20)
    image = chase(world)
    assert image.shape == (CAMERA.height, CAMERA.width, 3)
    red = (image[..., 0] > 120) & (image[..., 1] < 90) & (image[..., 2] < 90)
    rows, columns = np.nonzero(red)
    assert red.mean() > 0.01 and abs(columns.mean() - CAMERA.width / 2) < 40 and rows.mean() > CAMERA.height / 2


def test_same_state_gives_the_same_view():
    world = world_with(cars=5, people=20)
    stored, first = world.get_state(), look(world, SMALL)
    for _ in range(10):
        world.step(0.0, 1.0)
    assert (look(world, SMALL).gray != first.gray).any()
    world.set_state(stored)
    again = look(world, SMALL)
    assert (again.gray == first.gray).all() and (again.depth == first.depth).all() and (again.classes == first.classes).all()


def test_sensors_ignore_objects_behind_the_camera():
    """No ray is cast at a car behind."""
    world = world_with(cars=1)
    (position,), (heading,) = world.cars()
    camera_position = position + 12 * heading
    put(world, float(camera_position[0]), float(camera_position[1]), math.atan2(heading[1], heading[0]))
    mesh, rays = moving_parts(world, SMALL)
    assert len(mesh) == 0 and len(rays) == 0


def test_surfaces_face_outwards():
    """The normals of houses, windows, trees and cars point outwards."""
    mesh = meshes.town_mesh(world_with(parking=0.5).town)
    edges = mesh.corners[:, 1:] - mesh.corners[:, :1]
    normals = np.cross(edges[:, 0], edges[:, 1])
    flat = np.isin(mesh.classes, (SemanticClass.ROAD, SemanticClass.MARKING))
    assert (normals[flat, 2] > 0).all()
    solid = np.isin(mesh.classes, (SemanticClass.BUILDING, SemanticClass.CAR)) & (np.abs(normals[:, 2]) < 1e-6)
    ahead = mesh.corners[solid].mean(axis=1) + 0.2 * normals[solid] / np.linalg.norm(normals[solid], axis=1, keepdims=True)
    distances, _ = cast(scene_of(mesh), ahead.astype(np.float32), (-normals[solid]).astype(np.float32))
    assert (distances < FAR).all(), "a ray from the outside hits each of them"
    crowns = (mesh.classes == SemanticClass.VEGETATION) & (np.abs(normals[:, 2]) > 1e-6) & (mesh.shade < 0.45)
    under = crowns & (mesh.corners[:, :, 2].max(axis=1) - mesh.corners[:, 2, 2] > 1e-3)
    assert under.any() and (normals[under, 2] < 0).all()


def test_people_stand_on_the_street_or_on_the_pavement():
    positions, headings = np.zeros((2, 2)), np.tile([1.0, 0.0], (2, 1))
    mesh = meshes.people(positions, headings, np.zeros(2, bool), np.array([True, False]))
    feet = mesh.corners.reshape(2, -1, 3)[:, :, 2].min(axis=1)
    assert feet == pytest.approx([0.0, meshes.PAVEMENT_HEIGHT])


def test_cameras_of_drivers_must_be_level():
    with pytest.raises(ConfigError, match="level"):
        look(world_with(), Camera(48, 64, tilt=10.0))

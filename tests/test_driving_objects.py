"""Objects in the path of the car, in worlds with known results."""

import math
from dataclasses import replace

import numpy as np
import pytest

from weakspot.analysis.objects import driving as driving_objects
from weakspot.analysis.objects.driving import (
    HALF_WIDTH,
    MAX_DISTANCE,
    NEAR,
    classes_of,
    path_ground,
    shares,
    shows,
    shows_on,
)
from weakspot.envs.driving.bicycle import Car
from weakspot.envs.driving.classes import CLASS_NAMES, SemanticClass
from weakspot.envs.driving.pedestrians import CROSS
from weakspot.envs.driving.sensors import Camera, look
from weakspot.envs.driving.town import TownConfig
from weakspot.envs.driving.world import World, WorldConfig
from weakspot.errors import ConfigError

CAMERA = Camera(128, 128)


@pytest.fixture(scope="module")
def world():
    """A street with one person on it."""
    built = World(WorldConfig(TownConfig(seed=0, trees=0.0, parking=0.0), cars=0, people=1))
    people, town = built.state.people, built.town
    along = (town.columns[1] + town.columns[2]) / 2
    built.state = replace(
        built.state,
        people=replace(
            people,
            block=np.array([[1, 1]]), side=np.array([0]), along=np.array([along]), doing=np.array([CROSS]),
            progress=np.array([town.walk]),
        ),
    )  # fmt: skip
    return built


def classes_seen(world, ahead, left):
    """The classes seen by a driver, with the person ``ahead`` metres ahead of the camera and ``left`` metres to the left."""
    (person,) = world.pedestrian_positions()
    camera = person[0] - ahead, person[1] - left
    world.state = replace(world.state, car=Car(float(camera[0]) - CAMERA.ahead - 1.35, float(camera[1]), 0.0))
    return look(world, CAMERA).classes[None]


def test_frames_of_another_size_than_that_of_the_camera_are_refused():
    for shape in ((1, 64, 64), (128, 128)):
        with pytest.raises(ConfigError, match="as the camera sees them"):
            driving_objects.visible_objects(np.zeros(shape, np.uint8), Camera(128, 128))


@pytest.mark.parametrize("ahead", [1.9, 2.5, 3.1, 4.0, 10.0, 20.0])
@pytest.mark.parametrize("left", [-1.2, 0.0, 1.2])
def test_person_on_the_path_is_found_on_the_path(world, ahead, left):
    assert shows_on(classes_seen(world, ahead, left), SemanticClass.PEDESTRIAN, path_ground(CAMERA)).all()


@pytest.mark.parametrize(("ahead", "left"), [(12.0, -7.0), (12.0, 7.0), (6.0, 3.5), (29.0, 0.0)])
def test_person_next_to_the_path_is_not_found_on_the_path(world, ahead, left):
    classes = classes_seen(world, ahead, left)
    assert shows(classes, SemanticClass.PEDESTRIAN).all()
    assert not shows_on(classes, SemanticClass.PEDESTRIAN, path_ground(CAMERA)).any()
    assert not shows(classes, SemanticClass.CAR).any()


def test_visible_objects_are_counted_by_name(world):
    """A person on the path, near it, at the kerb, and out of view."""
    positions = ((10.0, 0.0), (10.0, 3.0), (10.0, -4.6), (-10.0, 0.0))
    found = driving_objects.visible_objects(
        np.concatenate([classes_seen(world, *position) for position in positions]), CAMERA
    )
    assert found.counts["person on the path"].tolist() == [True, False, False, False]
    assert found.counts["person near the path"].tolist() == [True, True, False, False]
    assert found.counts["person anywhere"].tolist() == [True, True, True, False]
    light = found.counts["red light"]
    assert (found.empty == ~(found.counts["person on the path"] | light)).all()
    reasons = found.reasons()
    assert (reasons["person near the path, no car on it, no red light"] == (np.array([1, 1, 0, 0]) & ~light)).all()
    assert (reasons["nothing in the way"] == found.empty).all() and (reasons["red light"] == light).all()


@pytest.mark.parametrize(
    ("ahead", "left", "on_path"), [(20.0, 0.0, True), (8.0, 0.5, True), (30.0, 0.0, False), (10.0, 2.85, False)]
)
def test_cars_are_found_on_the_path_only_if_they_stand_on_it(ahead, left, on_path):
    """The last one is parked next to the lane."""
    built = World(WorldConfig(TownConfig(seed=0, trees=0.0, parking=0.0), cars=1, people=0))
    (position,), ((cos, sin),) = built.cars()
    back = ahead + 2.25 + CAMERA.ahead + 1.35
    built.state = replace(
        built.state,
        car=Car(position[0] - back * cos + left * sin, position[1] - back * sin - left * cos, math.atan2(sin, cos)),
    )
    classes = look(built, CAMERA).classes[None]
    assert shows(classes, SemanticClass.CAR).all()
    assert shows_on(classes, SemanticClass.CAR, path_ground(CAMERA)).all() == on_path


@pytest.mark.parametrize("half_width", [HALF_WIDTH, NEAR])
def test_ground_of_the_path_matches_projected_points(half_width):
    generator, pixels = np.random.default_rng(0), path_ground(CAMERA, half_width)
    ahead, left = generator.uniform(1.0, MAX_DISTANCE, 10**6), generator.uniform(-half_width, half_width, 10**6)
    column = np.floor(CAMERA.width / 2 - CAMERA.focal * left / ahead).astype(int)
    row = np.floor(CAMERA.height / 2 + CAMERA.focal * CAMERA.up / ahead).astype(int)
    inside = (row < CAMERA.height) & (column >= 0) & (column < CAMERA.width)
    hit = np.zeros_like(pixels)
    hit[row[inside], column[inside]] = True
    assert pixels.any() and (pixels & ~hit).sum() < 0.03 * pixels.sum() and pixels[-1].any()
    assert (hit & ~pixels).sum() < 0.2 * pixels.sum(), "they differ only at the edges"


def test_classes_are_read_from_channels():
    stacks = np.zeros((2, 4, 3, 3, 12), np.uint8)
    stacks[0, -1, ..., 1 + SemanticClass.CAR] = 140
    stacks[0, -1, ..., 1 + SemanticClass.ROAD] = 115
    stacks[1, -1, ..., 1 + SemanticClass.SKY] = 255
    classes = classes_of(stacks, ("depth", *CLASS_NAMES, "gray"))
    assert (classes[0] == SemanticClass.CAR).all() and (classes[1] == SemanticClass.SKY).all()
    class_shares = shares(classes)
    assert class_shares[SemanticClass.CAR] == class_shares[SemanticClass.SKY] == 0.5 and class_shares.sum() == 1
    with pytest.raises(ConfigError, match="semantic class"):
        classes_of(stacks, ("red", "green", "blue"))

"""People, cars and lights in frames of the driving environments: their windows and their recall."""

import numpy as np
import pytest

from weakspot.analysis.objects.classes import KINDS, find, has_classes
from weakspot.analysis.objects.finders import recalls
from weakspot.envs.driving.classes import CLASS_NAMES, SemanticClass
from weakspot.envs.driving.environment import DriveEnvironment


@pytest.fixture(scope="module", params=["weakspot/DriveSemantic64-v0", "weakspot/Drive96-v0"])
def driven(request):
    """What is known of an environment, and the frames that full throttle sees."""
    environment = DriveEnvironment(request.param, size=(48, 48), blocks=(2, 2), cars=10, people=60)
    frames = []
    for seed in range(4):
        step = environment.reset(seed)
        for _ in range(25):
            frames.append(step.frame)
            if step.terminated or step.truncated:
                break
            step = environment.step(1)
    return environment.spec, np.stack(frames)


def kept(environment, frames, reconstructed):
    return recalls(environment, frames, reconstructed, np.zeros((len(frames), 0), np.uint8))


def plane(environment, kind):
    return environment.preprocessing["channels"].index(kind.name.lower())


def test_things_that_do_not_touch_are_found_one_by_one():
    planes = np.zeros((2, 10, 12, 1), np.uint8)
    planes[0, 2:5, 1:3] = planes[0, 7, 8:12] = 255
    planes[0, 9, 0] = 255  # one pixel is nothing
    planes[1, 4, 4] = planes[1, 5, 5] = 200  # they touch by a corner
    planes[1, 0, 0:4] = 100  # less than half
    first, second = find(planes)
    assert sorted(first.tolist()) == [[1, 2, 3, 5], [8, 7, 12, 8]]
    assert second.tolist() == [[4, 4, 6, 6]]


def test_the_frames_themselves_hold_everything_and_each_class_stands_for_itself(driven):
    environment, frames = driven
    same = kept(environment, frames, frames)
    assert {"people", "cars"} <= set(same) <= set(KINDS) and all(recall.share == 1.0 for recall in same.values())
    for name, recall in same.items():
        shown = (frames[..., plane(environment, KINDS[name])] > 127).sum(axis=(1, 2)) >= 2
        seen = set(recall.index)
        assert seen <= set(np.flatnonzero(shown)) and len(seen) > 0.9 * shown.sum(), f"{name}: seen elsewhere than shown"
        without = frames.copy()
        without[..., plane(environment, KINDS[name])] = 0
        left = kept(environment, frames, without)
        assert left[name].share == 0.0
        assert all(left[other].share == 1.0 for other in left if other != name)


def test_what_is_likelier_than_not_stands_and_what_is_less_likely_does_not(driven):
    environment, frames = driven
    for share, least, most in ((0.4, 0.0, 0.0), (0.6, 1.0, 1.0)):
        faint = (frames * share).astype(np.uint8)
        people = kept(environment, frames, faint)["people"]
        assert least <= people.share <= most


def test_people_drawn_elsewhere_are_not_kept(driven):
    environment, frames = driven
    assert kept(environment, frames, np.roll(frames, 1, axis=2))["people"].share > 0.8
    assert kept(environment, frames, np.roll(frames, 24, axis=2))["people"].share < 0.3


def test_frames_without_a_channel_for_each_class_have_none():
    assert has_classes(CLASS_NAMES) and has_classes(("depth", *CLASS_NAMES, "gray"))
    assert not has_classes(CLASS_NAMES[1:]) and not has_classes(())
    assert KINDS["people"] is SemanticClass.PEDESTRIAN

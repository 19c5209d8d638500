"""People, cars and lights in frames of the driving environments: their windows and their recall."""

import numpy as np
import pytest

from weakspot.analysis.objects.classes import KINDS, find, has_classes
from weakspot.analysis.objects.finders import recalls
from weakspot.envs.driving.classes import CLASS_NAMES, SemanticClass
from weakspot.envs.driving.environment import DriveEnvironment


@pytest.fixture(scope="module", params=["weakspot/DriveSemantic64-v0", "weakspot/Drive96-v0"])
def driving_frames(request):
    """The spec of an environment, and frames under full throttle."""
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


def class_recalls(environment, frames, reconstructed):
    return recalls(environment, frames, reconstructed, np.zeros((len(frames), 0), np.uint8))


def plane(environment, kind):
    return environment.preprocessing["channels"].index(kind.name.lower())


def test_separate_objects_have_separate_windows():
    planes = np.zeros((2, 10, 12, 1), np.uint8)
    planes[0, 2:5, 1:3] = planes[0, 7, 8:12] = 255
    planes[0, 9, 0] = 255  # single pixels are ignored
    planes[1, 4, 4] = planes[1, 5, 5] = 200  # connected by a corner
    planes[1, 0, 0:4] = 100  # below one half
    first, second = find(planes)
    assert sorted(first.tolist()) == [[1, 2, 3, 5], [8, 7, 12, 8]]
    assert second.tolist() == [[4, 4, 6, 6]]


def test_recall_is_one_for_identical_frames_and_independent_for_each_class(driving_frames):
    environment, frames = driving_frames
    same = class_recalls(environment, frames, frames)
    assert {"people", "cars"} <= set(same) <= set(KINDS) and all(recall.share == 1.0 for recall in same.values())
    for name, recall in same.items():
        visible = (frames[..., plane(environment, KINDS[name])] > 127).sum(axis=(1, 2)) >= 2
        found = set(recall.index)
        assert found <= set(np.flatnonzero(visible)) and len(found) > 0.9 * visible.sum(), (
            f"{name}: found in frames without it"
        )
        without = frames.copy()
        without[..., plane(environment, KINDS[name])] = 0
        remaining = class_recalls(environment, frames, without)
        assert remaining[name].share == 0.0
        assert all(remaining[other].share == 1.0 for other in remaining if other != name)


def test_objects_count_from_a_class_probability_of_one_half(driving_frames):
    environment, frames = driving_frames
    for share, least, most in ((0.4, 0.0, 0.0), (0.6, 1.0, 1.0)):
        faint = (frames * share).astype(np.uint8)
        people = class_recalls(environment, frames, faint)["people"]
        assert least <= people.share <= most


def test_displaced_people_are_not_recalled(driving_frames):
    environment, frames = driving_frames
    assert class_recalls(environment, frames, np.roll(frames, 1, axis=2))["people"].share > 0.8
    assert class_recalls(environment, frames, np.roll(frames, 24, axis=2))["people"].share < 0.3


def test_class_objects_need_a_channel_for_each_class():
    assert has_classes(CLASS_NAMES) and has_classes(("depth", *CLASS_NAMES, "gray"))
    assert not has_classes(CLASS_NAMES[1:]) and not has_classes(())
    assert KINDS["people"] is SemanticClass.PEDESTRIAN

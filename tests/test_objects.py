"""Objects of Seaquest and Q*bert: their positions, and their recall in damaged frames."""

import numpy as np
import pytest

from weakspot.analysis.objects.finders import Windows, finder, object_recall, recalls
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.base import EnvironmentSpec

KINDS = {
    "seaquest": {"player", "enemies", "divers", "enemy shots", "own shot", "oxygen bar"},
    "qbert": {"player", "purple enemies", "green enemies"},
}


@pytest.fixture(scope="module", params=sorted(KINDS))
def episode(request) -> tuple[str, EnvironmentSpec, np.ndarray, np.ndarray]:
    """Name of the game, its spec, and newest frames and memory of random play."""
    environment = AtariEnvironment(AtariConfig(request.param))
    rng, frames, memory = np.random.default_rng(0), [], []
    step = environment.reset(1)
    for _ in range(700):
        frames.append(step.frame.copy())
        memory.append(step.ram.copy())
        step = environment.step(int(rng.integers(len(environment.spec.action_names))))
        if step.terminated or step.truncated:
            step = environment.reset()
    return request.param, environment.spec, np.stack(frames), np.stack(memory)


def windows_of(episode: tuple[str, EnvironmentSpec, np.ndarray, np.ndarray]) -> Windows:
    _, environment, frames, memory = episode
    find = finder(environment.id)
    assert find is not None
    return find(frames, memory)


def empty(frames: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.median(frames, axis=0).astype(np.uint8), frames.shape)


def test_objects_are_at_their_reported_positions(episode):
    game, _, frames, _ = episode
    windows = windows_of(episode)
    assert set(windows) == KINDS[game]
    recall_of = object_recall(frames, frames, empty(frames)[0], windows)
    for name in ("player", "enemies", "oxygen bar", "purple enemies"):
        if name in windows:
            reported = sum(len(boxes) for boxes in windows[name])
            # a random Q*bert stands at its start so often that it is part of the median frame
            least = 0.5 if (game, name) == ("qbert", "player") else 0.85
            assert reported > 40 and len(recall_of[name].recalled) > least * reported, name
    moved = {
        name: [boxes + np.array([30.0, 0.0, 30.0, 0.0]) for boxes in frames_]
        for name, frames_ in windows.items()
        if name in ("player", "enemies", "purple enemies")
    }
    elsewhere = object_recall(frames, frames, empty(frames)[0], moved)
    for name, recall in elsewhere.items():
        assert len(recall.recalled) < 0.5 * len(recall_of[name].recalled), f"{name}: found where there is none"


def test_recall_is_one_for_identical_frames_and_falls_with_lost_objects(episode):
    _, environment, frames, memory = episode
    same = recalls(environment, frames, frames, memory)
    assert same and all(recall.share == 1.0 for recall in same.values())
    background = empty(frames)
    assert all(recall.share == 0.0 for recall in recalls(environment, frames, background, memory).values())
    faint = (background + 0.3 * (frames.astype(float) - background)).round().astype(np.uint8)
    assert all(recall.share < 0.2 for recall in recalls(environment, frames, faint, memory).values())
    strong = (background + 0.7 * (frames.astype(float) - background)).round().astype(np.uint8)
    assert all(recall.share > 0.97 for recall in recalls(environment, frames, strong, memory).values())


def test_only_objects_moved_a_little_are_recalled(episode):
    _, environment, frames, memory = episode
    near = recalls(environment, frames, np.roll(frames, 1, axis=2), memory)["player"]
    far = recalls(environment, frames, np.roll(frames, 40, axis=2), memory)["player"]
    assert near.share > 0.97 and far.share < 0.3


def test_other_games_have_no_known_objects():
    assert finder("BreakoutNoFrameskip-v4") is None
    frames = np.zeros((2, 84, 84, 3), np.uint8)
    breakout = AtariEnvironment(AtariConfig("breakout")).spec
    assert recalls(breakout, frames, frames, np.zeros((2, 128), np.uint8)) == {}

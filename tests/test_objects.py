"""Objects of Seaquest and Q*bert: their positions, and their recall in damaged pictures."""

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
def played(request) -> tuple[str, EnvironmentSpec, np.ndarray, np.ndarray]:
    """Name of the game, what is known of it, newest frames and memory of a random agent's play."""
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


def windows_of(played: tuple[str, EnvironmentSpec, np.ndarray, np.ndarray]) -> Windows:
    _, environment, frames, memory = played
    find = finder(environment.id)
    assert find is not None
    return find(frames, memory)


def empty(frames: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.median(frames, axis=0).astype(np.uint8), frames.shape)


def test_objects_are_where_they_are_said_to_be(played):
    game, _, frames, _ = played
    windows = windows_of(played)
    assert set(windows) == KINDS[game]
    seen = object_recall(frames, frames, empty(frames)[0], windows)
    for name in ("player", "enemies", "oxygen bar", "purple enemies"):
        if name in windows:
            said = sum(len(places) for places in windows[name])
            # a random Q*bert stands at its start so often that it is part of the median frame
            least = 0.5 if (game, name) == ("qbert", "player") else 0.85
            assert said > 40 and len(seen[name].found) > least * said, name
    moved = {
        name: [places + np.array([30.0, 0.0, 30.0, 0.0]) for places in frames_]
        for name, frames_ in windows.items()
        if name in ("player", "enemies", "purple enemies")
    }
    elsewhere = object_recall(frames, frames, empty(frames)[0], moved)
    for name, recall in elsewhere.items():
        assert len(recall.found) < 0.5 * len(seen[name].found), f"{name}: nothing is there, and yet it is seen"


def test_recall_is_one_for_the_frames_themselves_and_falls_with_what_is_lost(played):
    _, environment, frames, memory = played
    same = recalls(environment, frames, frames, memory)
    assert same and all(recall.share == 1.0 for recall in same.values())
    nothing = empty(frames)
    assert all(recall.share == 0.0 for recall in recalls(environment, frames, nothing, memory).values())
    faint = (nothing + 0.3 * (frames.astype(float) - nothing)).round().astype(np.uint8)
    assert all(recall.share < 0.2 for recall in recalls(environment, frames, faint, memory).values())
    strong = (nothing + 0.7 * (frames.astype(float) - nothing)).round().astype(np.uint8)
    assert all(recall.share > 0.97 for recall in recalls(environment, frames, strong, memory).values())


def test_an_object_that_is_moved_a_little_stands_and_far_away_does_not(played):
    _, environment, frames, memory = played
    near = recalls(environment, frames, np.roll(frames, 1, axis=2), memory)["player"]
    far = recalls(environment, frames, np.roll(frames, 40, axis=2), memory)["player"]
    assert near.share > 0.97 and far.share < 0.3


def test_other_games_have_no_known_objects():
    assert finder("BreakoutNoFrameskip-v4") is None
    frames = np.zeros((2, 84, 84, 3), np.uint8)
    breakout = AtariEnvironment(AtariConfig("breakout")).spec
    assert recalls(breakout, frames, frames, np.zeros((2, 128), np.uint8)) == {}

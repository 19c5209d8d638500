"""Marks, seeds, and copies of an environment that are played from given states."""

import numpy as np
import pytest
from lamps import COLUMN, Lamp

from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.base import Markable, Reseedable
from weakspot.envs.driving.environment import DriveEnvironment
from weakspot.envs.plays import Trial, attempt, go_back, set_mark
from weakspot.envs.pool import FAILED, EnvironmentPool, Place
from weakspot.errors import SnapshotError

STICKY = AtariConfig("pong", repeat_action_probability=0.25)
MAKERS = {
    "atari": lambda: AtariEnvironment(STICKY),
    "town": lambda: DriveEnvironment("weakspot/DriveSemantic64-v0", size=(24, 24), blocks=(2, 2), cars=5, people=20),
}


def played(environment, actions):
    return [environment.step(action) for action in actions]


@pytest.mark.parametrize("kind", MAKERS)
def test_marks_continue_bit_for_bit_like_snapshots(kind):
    environment, actions = MAKERS[kind](), [1, 2, 0, 2, 2, 1, 0, 0] * 3
    environment.reset(4)
    played(environment, actions)
    assert isinstance(environment, Markable) == (kind == "atari")
    mark, snapshot = set_mark(environment), environment.snapshot()
    first = played(environment, actions)
    here = go_back(environment, mark)
    second = played(environment, actions)
    go_back(environment, mark)
    played(environment, actions[:3])
    restored = environment.restore(snapshot)
    third = played(environment, actions)
    np.testing.assert_array_equal(here.observation, restored.observation)
    assert here.reward == restored.reward
    for one, two, three in zip(first, second, third, strict=True):
        for other in (two, three):
            np.testing.assert_array_equal(one.observation, other.observation)
            np.testing.assert_array_equal(one.frame, other.frame)
            np.testing.assert_array_equal(one.ram, other.ram)
            assert (one.reward, one.terminated, one.life_lost) == (other.reward, other.terminated, other.life_lost)


@pytest.mark.parametrize("kind", MAKERS)
def test_seeds_decide_what_happens_next(kind):
    environment = MAKERS[kind]()
    environment.reset(4)
    actions = [0] * 40 if kind == "town" else [2, 3, 2, 3] * 8
    played(environment, actions[:6])
    assert isinstance(environment, Reseedable)
    snapshot, frames = environment.snapshot(), []
    for seed in (1, 1, 2, 3, 4):
        environment.restore(snapshot)
        environment.reseed(seed)
        frames.append(np.stack([step.frame for step in played(environment, actions)]))
    assert np.array_equal(frames[0], frames[1])
    assert any(not np.array_equal(frames[0], other) for other in frames[2:])


@pytest.mark.parametrize("workers", [1, 2])
def test_copies_play_from_their_own_places(workers):
    single = AtariEnvironment(STICKY)
    single.reset(1)
    snapshots = []
    for _ in range(3):
        played(single, [1, 2] * 10)
        snapshots.append(single.snapshot())
    with EnvironmentPool(lambda: AtariEnvironment(STICKY), single.spec, 3, workers) as pool:
        pool.place({2: Place(snapshots[0], 5), 0: Place(snapshots[2])})
        for action in (2, 3, 1, 1, 0):
            assert pool.step({0: action, 2: action}) == {}
        observations, rewards = pool.current.observations.copy(), pool.current.reward.copy()
        pool.step({0: 1})
        assert np.array_equal(pool.current.observations[2], observations[2]), "it was not stepped"
        with pytest.raises(SnapshotError):
            pool.place({1: Place(snapshots[0][:-1])})
        pool.place({1: Place(snapshots[1])})  # and goes on
    for number, snapshot, seed in ((2, snapshots[0], 5), (0, snapshots[2], None)):
        single.restore(snapshot)
        if seed is not None:
            single.reseed(seed)
        last = played(single, (2, 3, 1, 1, 0))[-1]
        np.testing.assert_array_equal(last.observation, observations[number])
        assert last.reward == rewards[number]


@pytest.mark.parametrize("workers", [1, 2])
def test_trials_are_those_of_one_environment(workers, tmp_path):
    environment = AtariEnvironment(AtariConfig("pong"))
    environment.reset(0)
    played(environment, [1, 2] * 30)
    snapshot = environment.snapshot()
    changes = [{}, {49: 100.0}, {54: 120.0, 60: 80.0}, {200: 1.0}, {50: 90.0}]
    actions = (2, 2, 3, 0)
    trials = [Trial(change, actions) for change in changes] + [Trial({54: 120.0}, (3, 3, 3, 1)), Trial({}, (1,))]
    expected = []
    for trial in trials:
        environment.restore(snapshot)
        expected.append(attempt(environment, trial))
    assert expected[3] is None, "there is no byte 200"
    with EnvironmentPool(lambda: AtariEnvironment(AtariConfig("pong")), environment.spec, 2, workers) as pool:
        for _ in range(2):  # with a new snapshot, and with one that is known
            for one, other in zip(expected, pool.trials(snapshot, trials), strict=True):
                assert (one is None) == (other is None)
                if one and other:
                    np.testing.assert_array_equal(one.frames, other.frames)
        for number in range(40):  # more snapshots than are kept
            played(environment, [number % 3])
            other = environment.snapshot()
            (play,) = pool.trials(other, [Trial({}, (1,))])
            environment.restore(other)
            np.testing.assert_array_equal(play.frames[0], environment.step(1).frame)
            environment.restore(other)
        assert pool.edited(snapshot, {200: 1.0}) is None and pool.edited(snapshot, {}) == snapshot
        edited = pool.edited(snapshot, {49: 100.0})
        assert edited is not None
        environment.restore(edited)
        assert environment.read_variables()[49] == 100.0


class Fragile(Lamp):
    """Fails beyond column 12, where only edits lead."""

    def step(self, action):
        if self.state[COLUMN] > 12:
            raise IndexError("no such column")
        return super().step(action)


def test_copies_that_fail_are_made_anew():
    lamp = Fragile()
    lamp.reset(3)
    lamp.write_variables({COLUMN: 14.0})
    broken = lamp.snapshot()
    lamp.write_variables({COLUMN: 5.0})
    with EnvironmentPool(Fragile, lamp.spec, 2, 1) as pool:
        pool.place({0: Place(broken), 1: Place(lamp.snapshot())})
        assert pool.step({0: 1, 1: 1}) == {0: FAILED} and pool.current.terminated.tolist() == [True, False]
        pool.place({0: Place(lamp.snapshot())})
        assert pool.step({0: 1}) == {}
        np.testing.assert_array_equal(pool.current.observations[0], pool.current.observations[1])

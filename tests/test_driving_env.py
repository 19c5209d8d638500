"""The interface of the driving environments to gymnasium and stable-baselines3."""

import copy
import gc
import json
import math
import pickle
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_for_stable_baselines3

from benchmarks import driving_memory
from weakspot.envs.driving.bicycle import Car
from weakspot.envs.driving.classes import CLASS_NAMES, SemanticClass
from weakspot.envs.driving.env import ACTIONS, DriveEnv
from weakspot.envs.driving.pedestrians import Behaviour
from weakspot.envs.driving.registration import ENVIRONMENTS
from weakspot.errors import ConfigError, SnapshotError

ACTION = list(ACTIONS).index("THROTTLE")
TINY = {"size": (24, 32), "blocks": (2, 2), "cars": 6, "people": 20}


@pytest.mark.parametrize("name", ["weakspot/Drive-v0", "weakspot/DriveSemantic-v0"])
@pytest.mark.parametrize("settings", [{}, {"pedestrians": "distracted", "continuous": True}, {"pedestrians": "none"}])
def test_environments_pass_the_checks_of_gymnasium_and_stable_baselines3(name, settings):
    env = gymnasium.make(name, render_mode="rgb_array", **TINY, **settings)
    check_env(env.unwrapped)
    check_for_stable_baselines3(env.unwrapped)


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("continuous", [False, True])
def test_all_environments_pass_the_check_of_gymnasium(name, continuous):
    check_env(gymnasium.make(name, continuous=continuous, **TINY).unwrapped)


def test_observations_match_the_paper():
    drive, semantic = gymnasium.make("weakspot/Drive-v0"), gymnasium.make("weakspot/DriveSemantic-v0")
    assert drive.observation_space.shape == (8 * (1 + len(CLASS_NAMES) + 1), 128, 128)
    assert semantic.observation_space.shape == (4 * len(CLASS_NAMES), 128, 128)
    prefixed = gymnasium.make("weakspot:weakspot/Drive-v0", render_mode="rgb_array")
    prefixed.reset(seed=0)
    assert np.asarray(prefixed.render()).shape == (360, 640, 3)


def test_observations_stack_frames_in_order():
    env = DriveEnv(**TINY, frames=3)
    channels = len(env.channels)
    first, _ = env.reset(seed=1)
    assert not first[: 2 * channels].any()
    frames = [first[-channels:]]
    for _ in range(30):  # enough steps to fill the frame buffer
        observation, *_ = env.step(1)
        frames.append(observation[-channels:])
        expected = ([np.zeros_like(frames[0])] * 2 + frames)[-3:]
        assert (observation == np.concatenate(expected)).all()


def test_holding_an_action_equals_repeating_it():
    once, holding = DriveEnv(**TINY, frames=2), DriveEnv(**TINY, frames=2, hold=3)
    assert once.metadata["render_fps"] == 10 and holding.metadata["render_fps"] == 3
    once.reset(seed=2), holding.reset(seed=2)
    previous, ended = None, False
    while not ended:
        total, metres = 0.0, 0.0
        for _ in range(3):
            observation, reward, terminated, truncated, info = once.step(ACTION)
            total, metres = total + reward, metres + info["metres"]
            ended = terminated or truncated
            if ended:
                break
        held_observation, held_reward, *ends, held_info = holding.step(ACTION)
        assert (held_reward, ends) == (pytest.approx(total), [terminated, truncated])
        assert held_info["cause"] == info["cause"] and held_info["speed"] == info["speed"]
        assert held_info["metres"] == pytest.approx(metres)
        channels = len(holding.channels)
        assert (held_observation[channels:] == observation[channels:]).all() and (
            previous is None or (held_observation[:channels] == previous).all()
        )
        previous = held_observation[channels:]
    assert terminated, "driving straight ahead ends the episode"
    with pytest.raises(ConfigError, match="running episode"):
        holding.step(ACTION)
    with pytest.raises(SnapshotError):
        once.set_state(holding.get_state())


def test_frames_match_the_sensors():
    env = DriveEnv(**TINY)
    observation, _ = env.reset(seed=3)
    view, frame = env.view(), observation[-len(env.channels) :].astype(int)
    assert np.abs(frame[0] / 255 - (1 - view.depth / 100)).max() <= 0.5 / 255 + 1e-5
    assert (frame[1:-1].argmax(axis=0) == view.classes).all() and set(np.unique(frame[1:-1])) == {0, 255}
    assert (frame[1:-1].sum(axis=0) == 255).all()
    assert (frame[-1] == view.gray).all()
    assert env.channels == ("depth", *CLASS_NAMES, "gray")
    assert (frame[1 + SemanticClass.SKY] == 255).any()


def test_environments_can_be_without_people():
    env = DriveEnv(size=(32, 32), pedestrians="none")
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        assert not observation[-len(env.channels) :][1 + SemanticClass.PEDESTRIAN].any()
    assert len(env.world.state.people) == 0


@pytest.mark.parametrize(("side", "steer"), [(-1.75, 0.0), (-1.75, 0.4), (1.75, 0.0), (1.75, -0.3)])
def test_rewards_match_the_module_docstring(side, steer):
    env = DriveEnv(**{**TINY, "cars": 0, "people": 0}, continuous=True)
    env.reset(seed=0)
    world = env.world
    world.state = replace(world.state, car=Car(world.town.columns[0] + 15, world.town.rows[1] + side, 0.0, 8.0))
    for _ in range(3):
        before = world.state.car
        _, reward, terminated, _, info = env.step((steer, 0.0))
        car = world.state.car
        metres = 0.05 * (before.speed + car.speed)
        along = metres * math.cos(car.heading) * (1 if side < 0 else -1)
        sideways = car.speed**2 * abs(math.tan(car.steer)) / 2.7
        assert not terminated and info == {"cause": None, "metres": pytest.approx(metres), "speed": car.speed}
        assert reward == pytest.approx(along / 14 - 0.01 * sideways / 5)


def test_rewards_at_ends_and_intersections_match_the_module_docstring():
    env = DriveEnv(**{**TINY, "cars": 0, "people": 0})
    env.reset(seed=0)
    world, town = env.world, env.world.town
    world.state = replace(world.state, car=Car(town.columns[1] - 2.0, town.rows[1] - 1.75, 0.0, 8.0))
    assert env.step(0)[1] == 0
    world.state = replace(world.state, car=Car(town.columns[0] + 30, town.rows[0] - town.kerb - 1.2, 0.0, 5.0))
    _, reward, terminated, _, info = env.step(0)
    assert terminated and info["cause"] == "off_road"
    assert reward == pytest.approx(info["metres"] / 14 - 1, abs=1e-6)


def test_episodes_are_truncated_at_the_time_limit():
    env = DriveEnv(**TINY, seconds=1.5)
    env.reset(seed=0)
    ends = [(*step[2:4], step[4]["cause"]) for step in (env.step(2) for _ in range(15))]
    assert ends == [(False, False, None)] * 14 + [(False, True, "time")]
    with pytest.raises(ConfigError, match="reset"):
        env.step(2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sensors": ()},
        {"sensors": ("gray", "depth")},
        {"sensors": ("colour",)},
        {"frames": 0},
        {"pedestrians": "polite"},
        {"pedestrians": 1.5},
        {"people": 10**9},
        {"size": (8, 8)},
        {"size": (128, 5000)},
        {"seconds": 0.0},
        {"hold": 0},
        {"hold": 11},
        {"render_mode": "human"},
        {"blocks": (0, 1)},
        {"cars": 10_000},
        {"people": -1},
        {"pedestrians": "none", "people": -1},
        {"pedestrians": math.nan},
        {"seconds": math.inf},
    ],
)
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        DriveEnv(**{**TINY, **wrong})


WRONG_TYPES_SCRIPT = """
import json
import math
import sys

import numpy as np

from weakspot.envs.driving.classes import semantic_class
from weakspot.envs.driving.env import DriveEnv
from weakspot.envs.driving.pedestrians import Behaviour
from weakspot.envs.driving.sensors import Camera
from weakspot.envs.driving.town import TownConfig
from weakspot.envs.driving.world import World, WorldConfig
from weakspot.errors import ConfigError, SnapshotError

tiny = {"size": (24, 32), "blocks": (2, 2), "cars": 3, "people": 5}
makers = {
    "env": lambda wrong: DriveEnv(**wrong),
    "town": lambda wrong: TownConfig(**wrong),
    "world": lambda wrong: WorldConfig(**wrong),
    "people": lambda wrong: Behaviour(**wrong),
    "camera": lambda wrong: Camera(**wrong),
    "class": semantic_class,
    "seed": World(WorldConfig(cars=0, people=0)).reset,
    "control": lambda wrong: World(WorldConfig(cars=0, people=0)).step(wrong, 0.0),
    "state": DriveEnv(**tiny).set_state,
    "world state": World(WorldConfig(TownConfig(blocks=(2, 2)), cars=1, people=1)).set_state,
}
results = {}
for case in json.loads(sys.argv[1]):
    kind, wrong = eval(case)
    try:
        makers[kind](wrong)
        results[case] = "accepted"
    except (ConfigError, SnapshotError) as error:
        results[case] = "refused" if error.expected else "refused without an expectation"
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:  # what a user would see
        results[case] = repr(error)
print(json.dumps(results))
"""
WRONG_TYPES = [
    *("'env', {'frames': 2.5}", "'env', {'pedestrians': ['none']}", "'env', {'size': (128,)}", "'env', {'size': 64}"),
    *("'env', {'size': (64, 64, 90)}", "'env', {'size': (64.5, 64)}", "'env', {'blocks': (5,)}", "'env', {'blocks': 5}"),
    *("'env', {'cars': 2.5}", "'env', {'people': 2.5}", "'env', {'town': 'x'}", "'env', {'seconds': 'a'}"),
    *("'env', {'hold': 2.5}", "'env', {'hold': True}", "'env', {'sensors': None}", "'env', {'sensors': 5}"),
    *(
        "'env', {'render_mode': np.zeros(2)}",
        "'env', {'town': True}",
        "'env', {'cars': True}",
        "'env', {'seconds': True}",
    ),
    *("'env', {'continuous': 'no'}", "'env', {'sensors': ([],)}", "'env', {'pedestrians': True}"),
    *("'town', {'seed': 2.5}", "'town', {'seed': 'x'}", "'town', {'seed': True}", "'town', {'blocks': 5}"),
    *("'town', {'blocks': (2.5, 3)}", "'town', {'blocks': [3, 3]}", "'town', {'block_size': 70}"),
    *("'town', {'lane_width': 'x'}", "'town', {'parking': None}", "'town', {'trees': math.nan}"),
    *(
        "'world', {'cars': 2.5}",
        "'world', {'people': None}",
        "'people', {'patience': math.inf}",
        "'people', {'speed': 2}",
    ),
    *("'world', {'town': 3}", "'world', {'behaviour': 'polite'}", "'seed', 0.5", "'seed', 'a'", "'seed', -1"),
    *("'control', 'a'", "'control', None", "'control', math.nan", "'class', 5", "'class', None"),
    *("'camera', {'height': 'a'}", "'camera', {'width': 64.5}", "'camera', {'ahead': None}", "'camera', {'view': 'wide'}"),
    *("'people', {'distraction': None}", "'state', None", "'state', 'x'", "'state', b''", "'world state', None"),
]


@pytest.fixture(scope="module")
def results_of_wrong_types():
    """From a separate process, in which only the environment itself checks types."""
    command = [sys.executable, "-c", WRONG_TYPES_SCRIPT, json.dumps(WRONG_TYPES)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("wrong", WRONG_TYPES)
def test_values_of_a_wrong_type_are_refused(wrong, results_of_wrong_types):
    assert results_of_wrong_types[wrong] == "refused"


NUMPY_SCRIPT = """
import numpy as np

from weakspot.envs.driving.env import DriveEnv

three, four = np.int64(3), np.int32(24)
env = DriveEnv(
    size=(four, four), blocks=(three, three), cars=three, people=three, town=three, frames=three, hold=three,
    seconds=np.float64(3.0), pedestrians=np.float32(0.25),
)
same = DriveEnv(
    size=(24, 24), blocks=(3, 3), cars=3, people=3, town=3, frames=3, hold=3, seconds=3.0, pedestrians=0.25
)
env.reset(seed=0)
env.step(1)
assert (same.set_state(env.get_state()) == env.set_state(env.get_state())).all()
"""


def test_numpy_numbers_are_accepted():
    subprocess.run([sys.executable, "-c", NUMPY_SCRIPT], check=True)


def test_invalid_actions_are_refused_and_leave_the_state_unchanged():
    env = DriveEnv(**TINY)
    env.reset(seed=0)
    stored = env.get_state()
    for wrong in (-1, len(ACTIONS), 0.5, "LEFT", np.array([1, 2]), np.array(0.5), None):
        with pytest.raises(ConfigError, match="action"):
            env.step(wrong)
    assert env.get_state() == stored
    free = DriveEnv(**TINY, continuous=True)
    free.reset(seed=0)
    for wrong in ((0.0,), (0.0, 2.0), (float("nan"), 0.0), 3, "go", (None, 0), "01", {0: 0, 1: 0}):
        with pytest.raises(ConfigError, match="action"):
            free.step(wrong)
    free.step(np.array([0.1, -0.2], np.float32))


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_behave_like_the_original(make_copy):
    env = DriveEnv(**TINY, render_mode="rgb_array")
    env.reset(seed=2)
    env.step(1)
    other = make_copy(env)
    for action in (1, 3, 2):
        ours, theirs = env.step(action), other.step(action)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]
    np.testing.assert_array_equal(env.render(), other.render())


@pytest.mark.parametrize(("mode", "vector_kwargs"), [("sync", {}), ("async", {"context": "spawn"})])
def test_vector_environments_match_single_ones(mode, vector_kwargs):
    envs = gymnasium.make_vec("weakspot/Drive-v0", num_envs=2, vectorization_mode=mode, vector_kwargs=vector_kwargs, **TINY)
    try:
        first, _ = envs.reset(seed=3)
        second, rewards, *_ = envs.step(np.array([1, 3]))
    finally:
        envs.close()
    for number, action in enumerate((1, 3)):
        env = DriveEnv(**TINY)
        np.testing.assert_array_equal(env.reset(seed=3 + number)[0], first[number])
        observation, reward, *_ = env.step(action)
        np.testing.assert_array_equal(observation, second[number])
        assert reward == pytest.approx(rewards[number])


def test_same_seed_gives_the_same_episode():
    def play(env):
        observations = [env.reset(seed=7)[0], *(env.step(a)[0] for a in (1, 1, 3, 4, 2)), env.reset()[0]]
        return np.stack(observations)

    assert (play(DriveEnv(**TINY)) == play(DriveEnv(**TINY))).all()
    assert (DriveEnv(**TINY).reset(seed=8)[0] != DriveEnv(**TINY).reset(seed=7)[0]).any()


@given(st.lists(st.integers(0, len(ACTIONS) - 1), min_size=1, max_size=40), st.integers(0, 1000))
@settings(max_examples=12)
def test_stored_episodes_resume_bit_for_bit(actions, seed):
    def resume(env):
        steps = []
        for action in actions:
            if not env._running:
                steps.append((env.reset()[0].tobytes(),))
            observation, *rest = env.step(action)
            steps.append((observation.tobytes(), *rest))
        return steps

    env = DriveEnv(**TINY, frames=2)
    env.reset(seed=seed)
    for action in actions:
        if env.step(action)[2]:
            env.reset()
    stored = env.get_state()
    expected = resume(env)
    other = DriveEnv(**TINY, frames=2)
    other.reset(seed=seed + 1)
    other.set_state(stored)
    assert other.get_state() == stored
    assert resume(other) == expected


def test_states_of_other_environments_are_refused():
    env = DriveEnv(**TINY)
    env.reset(seed=0)
    with pytest.raises(SnapshotError, match="same settings"):
        DriveEnv(**{**TINY, "size": (32, 32)}).set_state(env.get_state())
    with pytest.raises(SnapshotError, match="same settings"):
        DriveEnv(**{**TINY, "cars": 5}).set_state(env.get_state())
    with pytest.raises(SnapshotError, match="same settings"):
        DriveEnv(**TINY, seconds=1.0).set_state(env.get_state())
    with pytest.raises(SnapshotError, match="checksum"):
        env.set_state(env.get_state()[:-3])


def test_states_of_another_version_are_refused(monkeypatch):
    env = DriveEnv(**TINY)
    env.reset(seed=0)
    stored = env.get_state()
    monkeypatch.setattr("weakspot.envs.driving.env.STATE_VERSION", 999)
    with pytest.raises(SnapshotError, match="version"):
        env.set_state(stored)


def test_benchmark_reports_memory_in_kilobytes():
    kilobytes = driving_memory.growth(25)
    assert len(kilobytes) == 3 and kilobytes == sorted(kilobytes)
    assert abs(kilobytes[-1] - resident_bytes() / 1024) < 10_000


def resident_bytes():
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_share_of_distracted_people_can_be_set():
    env = DriveEnv(**TINY, pedestrians=0.3)
    assert env.world.config.behaviour == Behaviour(distraction=0.3)


def test_memory_does_not_grow():
    env = DriveEnv(**TINY)
    env.reset(seed=0)

    def play(decisions):
        for number in range(decisions):
            if any(env.step(number % len(ACTIONS))[2:4]):
                env.reset()
        gc.collect()

    play(500)
    before = resident_bytes()
    play(1500)
    assert resident_bytes() - before < 4 * 2**20


def test_episodes_of_random_driving_end_for_several_causes():
    env, generator, causes = DriveEnv(**TINY), np.random.default_rng(0), set()
    for seed in range(10):
        env.reset(seed=seed)
        for _ in range(250):
            _, _, terminated, truncated, info = env.step(int(generator.integers(len(ACTIONS))))
            if terminated or truncated:
                break
        causes.add(info["cause"])
    assert {"off_road", "car"} <= causes

"""Environments whose variables can be read and changed."""

import json

import gymnasium
import numpy as np
import pytest
import third_party
from registering import temporarily_registered

from weakspot.envs import editors
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description
from weakspot.envs.driving import pedestrians
from weakspot.envs.driving.environment import DriveEnvironment
from weakspot.envs.editable import Editable, Variable, can_edit, check_changes, name_changes
from weakspot.envs.editors import classic_control
from weakspot.errors import ConfigError, EditError, ExtensionError
from weakspot.system.registry import Registry

TOWN = {"size": (24, 24), "blocks": (2, 2), "cars": 5, "people": 20}


class Picture(gymnasium.Wrapper):
    """The first number of an observation as a picture: dark at the lower end of the range, bright at the upper."""

    def __init__(self, env, low, high):
        super().__init__(env)
        self.low, self.high = low, high
        self.observation_space = gymnasium.spaces.Box(0, 255, (12, 12, 3), np.uint8)

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return self.picture(observation), info

    def step(self, action):
        observation, *rest = self.env.step(action)
        return self.picture(observation), *rest

    def picture(self, observation):
        level = 255 * (observation[0] - self.low) / (self.high - self.low)
        return np.full((12, 12, 3), int(np.clip(level, 0, 255)), np.uint8)


class Still(gymnasium.Env):
    """A gray picture."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.full((84, 84, 3), 99, np.uint8), {}

    def step(self, action):
        return np.full((84, 84, 3), 99, np.uint8), 0.0, False, False, {}


@pytest.fixture(scope="module", autouse=True)
def _registered():
    gymnasium.register("MountainPicture-v0", lambda **_: Picture(gymnasium.make("MountainCar-v0"), -1.2, 0.6))
    yield
    del gymnasium.registry["MountainPicture-v0"]


def started(make, seed=3):
    environment = make()
    environment.reset(seed)
    return environment


MAKERS = {
    "atari": lambda: AtariEnvironment(AtariConfig("pong")),
    "town": lambda: DriveEnvironment("weakspot/DriveSemantic64-v0", **TOWN),
    "classic control": lambda: DescribedEnvironment(Description("MountainPicture-v0", size=(12, 12))),
    "car racing": lambda: DescribedEnvironment(Description("CarRacing-v3", make={"continuous": False})),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_values_are_within_their_bounds_and_rewriting_them_changes_nothing(kind):
    first, second = started(MAKERS[kind]), started(MAKERS[kind])
    assert isinstance(first, Editable) and can_edit(first)
    for step in range(150 if kind == "town" else 6):
        values, variables = first.read_variables(), first.variables
        assert values.dtype == np.float64 and len(values) == len(variables) == len({v.name for v in variables})
        for value, variable in zip(values, variables, strict=True):
            assert variable.low <= value <= variable.high and (not variable.whole or value == round(value)), variable
        if kind != "car racing":  # Box2D computes a moved body anew, with another last bit
            second.write_variables(dict(enumerate(values)))
        action = step % len(first.spec.action_names)
        here, there = first.step(action), second.step(action)
        np.testing.assert_array_equal(here.frame, there.frame)
        if here.terminated:
            first.reset()
            second.reset()
    np.testing.assert_array_equal(first.read_variables(), second.read_variables())


@pytest.mark.parametrize("kind", MAKERS)
def test_snapshots_contain_the_changes(kind):
    """A restored state continues like the one that was changed, bit for bit."""
    changes = {
        "atari": {49: 30.0, 60: 120.0},
        "town": {4: 9.0, 0: 7.0},
        "classic control": {0: 0.2, 1: 0.05},
        "car racing": {2: 0.5, 3: 4.0},
    }[kind]
    environment, other = started(MAKERS[kind]), started(MAKERS[kind], seed=8)
    environment.step(1)
    before = environment.read_variables()
    environment.write_variables(changes)
    after = environment.read_variables()
    for position, value in changes.items():
        assert after[position] == pytest.approx(value, abs=1e-5) and before[position] != value
    environment.step(2)
    other.restore(environment.snapshot())
    np.testing.assert_array_equal(other.read_variables(), environment.read_variables())
    for action in (1, 2, 0):
        one, two = environment.step(action), other.step(action)
        np.testing.assert_array_equal(one.observation, two.observation)
        assert one.reward == two.reward


@pytest.mark.parametrize("kind", MAKERS)
def test_impossible_changes_are_refused(kind):
    environment = MAKERS[kind]()
    with pytest.raises(ConfigError, match="reset"):
        environment.write_variables({0: 0.0})
    environment.reset(0)
    values = environment.read_variables()
    with pytest.raises(EditError, match=f"variable {len(values)}"):
        environment.write_variables({len(values): 0.0})
    with pytest.raises(EditError, match="number from"):
        environment.write_variables({0: 1e6})
    with pytest.raises(EditError):
        environment.write_variables({0: float("nan")})
    np.testing.assert_array_equal(environment.read_variables(), values)


def test_the_game_draws_a_changed_memory():
    """Byte 54 of Pong is the row of the ball, byte 49 its column."""
    environment = started(MAKERS["atari"])
    for _ in range(20):
        environment.step(0)
    snapshot = environment.snapshot()
    here = environment.step(0).frame.astype(int)
    environment.restore(snapshot)
    environment.write_variables({49: 100.0, 54: 120.0})
    assert environment.snapshot() != snapshot
    there = environment.step(0)
    bright = (np.abs(there.frame.astype(int) - here) > 60).any(axis=-1)
    assert 1 <= bright.sum() < 200 and not there.life_lost
    with pytest.raises(EditError, match=r"byte 3 = 0\.5"):
        environment.write_variables({3: 0.5})


def test_a_person_can_be_put_on_the_street():
    environment = started(MAKERS["town"])
    world, names = environment.env.world, [variable.name for variable in environment.variables]
    town, at = world.town, names.index("person 0 column")
    inner = next(
        (column, row, side)
        for column in range(2) for row in range(2) for side in range(4)
        if 0 <= column + pedestrians.ACROSS[side][0] < 2 and 0 <= row + pedestrians.ACROSS[side][1] < 2
    )  # fmt: skip
    low, high = pedestrians.side_limits(town, np.array([inner[:2]]), np.array([inner[2]]))
    middle = float(low[0] + high[0]) / 2
    person = dict(zip(range(at, at + 8), (*inner, middle, pedestrians.CROSS, town.walk, 1, 1.4), strict=True))
    environment.write_variables(person)
    assert pedestrians.on_street(town, world.state.people)[0] and world.state.people.distracted[0]
    before = world.state.people.progress[0]
    environment.step(0)
    assert world.state.people.progress[0] == pytest.approx(before + 3 * 0.14, abs=0.15), "still crossing, for 0.3 seconds"
    with pytest.raises(EditError, match="person 0 at"):
        environment.write_variables({at + 3: float(high[0]) + 5.0})
    outer = next(
        (column, row, side)
        for column in range(2) for row in range(2) for side in range(4)
        if not (0 <= column + pedestrians.ACROSS[side][0] < 2 and 0 <= row + pedestrians.ACROSS[side][1] < 2)
    )  # fmt: skip
    low, high = pedestrians.side_limits(town, np.array([outer[:2]]), np.array([outer[2]]))
    for progress in (0.0, 5.0):
        edge = dict(zip(range(at, at + 6), (*outer, float(low[0] + high[0]) / 2, pedestrians.CROSS, progress), strict=True))
        with pytest.raises(EditError, match="edge of the town"):
            environment.write_variables(edge)
    with pytest.raises(EditError, match="on the pavement"):
        environment.write_variables({at + 4: pedestrians.WALK, at + 5: town.walk})
    lane = names.index("car 0 lane")
    with pytest.raises(EditError, match=r"car 0 .* along lane"):
        shortest = int(world.lanes.length.argmin())
        environment.write_variables({lane: shortest, lane + 1: float(world.lanes.length.max())})


def test_lights_of_the_town_change_with_their_phase():
    environment = started(MAKERS["town"])
    for phase in (0.0, 123.0):
        environment.write_variables({0: phase})
        assert environment.read_variables()[0] == phase
        lights = environment.env.world.lights.copy()
        environment.write_variables({0: (phase + 200) % 400})
        assert (environment.env.world.lights != lights).any()


def test_the_car_and_its_wheels_turn_as_one():
    environment = started(MAKERS["car racing"])
    environment.step(3)
    car = environment._env.unwrapped.car
    before = [np.array(car.hull.GetLocalPoint(wheel.position)) for wheel in car.wheels]
    environment.write_variables({0: 20.0, 1: -30.0, 2: 1.0})
    after = [np.array(car.hull.GetLocalPoint(wheel.position)) for wheel in car.wheels]
    np.testing.assert_allclose(after, before, atol=1e-4)
    environment.write_variables({3: 5.0, 4: 0.0, 5: 2.0})
    centre = car.hull.worldCenter
    for wheel in car.wheels:
        x, y = wheel.worldCenter[0] - centre[0], wheel.worldCenter[1] - centre[1]
        np.testing.assert_allclose(tuple(wheel.linearVelocity), (5.0 - 2.0 * y, 2.0 * x), atol=1e-4)
    environment.write_variables({3: 5.0, 4: 0.0, 5: 0.0})
    assert all(tuple(body.linearVelocity) == (5.0, 0.0) for body in (car.hull, *car.wheels))
    x = environment.read_variables()[0]
    environment.step(0)
    assert environment.read_variables()[0] > x


@pytest.mark.parametrize("game", ["kung_fu_master", "qbert"])
def test_what_a_changed_memory_breaks_is_gone_after_a_restore(game):
    """Random bytes make the game break off frames, which is not a part of the emulator's own states."""
    environment, generator = AtariEnvironment(AtariConfig(game)), np.random.default_rng(1)
    environment.reset(7)
    play(environment, 60)
    snapshot, mark = environment.snapshot(), environment.mark()
    expected = play(environment, 4)
    for number in range(120):
        environment.restore(snapshot)
        if number == 60:  # another object, which has not been reset
            environment = AtariEnvironment(AtariConfig(game))
            environment.restore(snapshot)
            mark = environment.mark()
        environment.write_variables({byte: float(generator.integers(256)) for byte in range(128)})
        play(environment, 4)
        environment.restore(snapshot) if number % 2 else environment.go_back(mark)
        for (frame, ram), (other, other_ram) in zip(expected, play(environment, 4), strict=True):
            np.testing.assert_array_equal(frame, other)
            np.testing.assert_array_equal(ram, other_ram)


def play(environment: AtariEnvironment, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames and memory after some steps, at most up to the end of the episode."""
    generator, found = np.random.default_rng(5), []
    for _ in range(steps):
        step = environment.step(int(generator.integers(len(environment.spec.action_names))))
        found.append((step.frame.copy(), step.ram.copy()))
        if step.terminated or step.truncated:
            break
    return found


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "Acrobot-v1"])
def test_classic_control_environments_are_within_their_bounds(name):
    env = gymnasium.make(name).unwrapped
    env.reset(seed=0)
    env.action_space.seed(0)
    assert classic_control.recognises(env) and not classic_control.recognises(Still())
    variables = classic_control.variables(env)
    for _ in range(200):
        values = classic_control.read(env)
        assert check_changes(variables, dict(enumerate(values))) == dict(enumerate(values))
        state = np.array(env.state)
        classic_control.write(env, dict(enumerate(values)))
        np.testing.assert_array_equal(env.state, state)
        if any(env.step(env.action_space.sample())[2:4]):
            env.reset()


@pytest.mark.parametrize(("game", "byte"), [("seaquest", 59), ("breakout", 57)])
def test_changed_lives_are_not_lost_ones(game, byte):
    environment = AtariEnvironment(AtariConfig(game))
    environment.reset(0)
    environment.step(0)
    lives = environment.read_variables()[byte]
    environment.write_variables({byte: lives - 1})
    other = AtariEnvironment(AtariConfig(game))
    other.reset(5)
    other.restore(environment.snapshot())
    assert not environment.step(0).life_lost and not other.step(0).life_lost
    assert environment._ale.lives() == environment._lives


def test_environments_without_an_editor_say_so():
    with temporarily_registered(Still=Still):
        environment = DescribedEnvironment(Description("Still-v0"))
        environment.reset(0)
        assert environment.variables == () and not can_edit(environment)
        with pytest.raises(EditError, match=r"weakspot\.editors"):
            environment.read_variables()


EDITOR = """
import numpy as np
from weakspot.envs.editors import classic_control
from weakspot.envs.editable import Variable

def recognises(env):
    return type(env).__name__ == "Still"

def variables(env):
    return (Variable("level", 0, 9, whole=True),)

def read(env):
    return np.array([getattr(env, "level", 0)], float)

def write(env, changes):
    env.level = changes[0]

BROKEN = 3
"""


def test_other_packages_add_editors(tmp_path, monkeypatch):
    registry = third_party.install(tmp_path, monkeypatch, editors.EDITORS, {}, EDITOR, "their_editor")
    registry = Registry(registry.group, {**registry.builtin, "noise": "their_editor"})
    monkeypatch.setattr(editors, "EDITORS", registry)
    with temporarily_registered(Still=Still):
        environment = DescribedEnvironment(Description("Still-v0"))
        environment.reset(0)
        environment.write_variables({0: 4})
        assert can_edit(environment) and environment.read_variables().tolist() == [4.0]
        monkeypatch.setattr(editors, "EDITORS", Registry(registry.group, {"broken": "their_editor:BROKEN"}))
        with pytest.raises(ExtensionError, match=r"'broken' of weakspot\.editors is 3"):
            DescribedEnvironment(Description("Still-v0"))


def test_changes_in_words_and_checked():
    variables = (Variable("byte 3", 0, 255, whole=True), Variable("angle", -1.0, 1.0))
    assert check_changes(variables, {1: np.float32(0.5), 0: np.int64(7)}) == {1: 0.5, 0: 7.0}
    assert name_changes(variables, np.array([40.0, 0.25]), {1: -0.5, 0: 3.0}) == ["byte 3: 40 to 3", "angle: 0.25 to -0.5"]
    assert json.dumps(check_changes(variables, {0: np.uint8(3)})) == '{"0": 3.0}'

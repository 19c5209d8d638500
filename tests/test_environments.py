"""Environments by reference, and families of other packages."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import gymnasium
import numpy as np
import pytest
import torch
from ale_py import roms
from ale_py.registration import rom_id_to_name
from registering import temporarily_registered

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.envs import family
from weakspot.envs.atari import AtariEnvironment
from weakspot.envs.base import Environment
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description
from weakspot.envs.driving.environment import DriveEnvironment
from weakspot.envs.driving.registration import ENVIRONMENTS
from weakspot.envs.family import FAMILIES, EnvironmentFamily, family_of, load_family
from weakspot.envs.make import environment_factory, find_description
from weakspot.errors import ConfigError, ExtensionError, UnknownGameError
from weakspot.games import environment_id, game_names
from weakspot.system.registry import Registry

GRID = '''
"""A square that an agent moves along one row; the package of a third party."""

import json

import numpy as np

from weakspot.envs.base import EnvironmentSpec, Step
from weakspot.envs.observation import colour_observation


def recognises(reference):
    return reference.startswith("grid/")


def factory(reference):
    return lambda: Grid(reference, int(reference.removeprefix("grid/")))


class Grid:
    observe = staticmethod(colour_observation)

    def __init__(self, name, width):
        self.spec = EnvironmentSpec(name, ("left", "right"), 1, 4, width, 3, {}, gray=False)
        self.random = np.random.default_rng(0)

    def reset(self, seed=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.at, self.time = int(self.random.integers(self.spec.width)), 0
        return self.show(0.0)

    def step(self, action):
        self.at, self.time = int(np.clip(self.at + 2 * action - 1, 0, self.spec.width - 1)), self.time + 1
        return self.show(float(self.at == 0))

    def show(self, reward):
        frame = np.zeros((4, self.spec.width, 3), np.uint8)
        frame[:, self.at] = 200
        return Step(frame.transpose(2, 0, 1).copy(), frame, reward, self.time >= 7, False)

    def snapshot(self):
        return json.dumps([self.at, self.time, self.random.bit_generator.state]).encode()

    def restore(self, snapshot):
        self.at, self.time, self.random.bit_generator.state = json.loads(snapshot)
        return self.show(0.0)

    def close(self):
        pass


class Everything:
    def recognises(self, reference):
        return True

    def factory(self, reference):
        return lambda: Grid(reference, 3)


everything = Everything()
'''


def install(folder, **points):
    """A package in ``folder`` whose entry points are ``points``, as pip would leave it."""
    (folder / "their_grid.py").write_text(GRID)
    info = folder / "their_grid-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-grid\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{FAMILIES.group}]", *lines, ""]))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package for the duration of a test."""

    def install_temporarily(**points):
        install(tmp_path, **points)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(family, "FAMILIES", Registry(FAMILIES.group, FAMILIES.builtin))

    yield install_temporarily
    sys.modules.pop("their_grid", None)


class Mover:
    """Moves to the right where the square is on the left; scores are sums over the halves of the row."""

    device = torch.device("cpu")
    module = torch.nn.Identity()

    def __init__(self, environment):
        spec = environment.spec
        self.spec = AgentSpec("mover", spec.id, spec.action_names, spec.observation_shape, "q-values", "greedy", "mover")

    def __call__(self, observation):
        right, left = observation.mean(dim=(1, 2)).flatten(1).chunk(2, dim=1)
        return AgentOutput(torch.stack([left.sum(dim=1), right.sum(dim=1)], dim=1))


def test_a_third_party_adds_a_family_and_its_states_are_collected(installed, tmp_path):
    installed(grid="their_grid")
    assert family_of("grid/6") == "grid" and find_description("grid/6") is None
    make = environment_factory("grid/6")
    environment = make()
    assert isinstance(environment, Environment) and environment.spec.width == 6
    config = CollectConfig(frames=60, streams=3, epsilon=0.3, snapshot_every=5, shard_steps=8)
    dataset = collect(Mover(environment), make, config, tmp_path / "states", workers=2)
    assert dataset.environment == environment.spec and len(dataset) == 60
    assert dataset.terminated.sum() == 3 * (20 // 7)
    index, snapshot = dataset.snapshot_before(17)
    np.testing.assert_array_equal(environment.restore(snapshot).frame, dataset.newest(np.array([index]))[0])


def test_third_party_families_are_tried_before_gymnasium_and_after_the_built_in_ones(installed):
    installed(everything="their_grid:everything")
    assert family_of("CarRacing-v3") == family_of("no such thing") == "everything"
    assert [family_of(name) for name in ("pong", "weakspot/Drive-v0", "x.toml")] == ["atari", "driving", "description"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("their_grid:nothing", "cannot be loaded"),
        ("no_such_module", "cannot be loaded"),
        ("their_grid:Grid", "not a class"),
        ("json", "recognises"),
    ],
)
def test_invalid_families_are_refused(installed, value, words):
    installed(broken=value)
    with pytest.raises(ExtensionError, match=f"(?s)broken.*{words}"):
        family_of("CarRacing-v3")
    assert family_of("pong") == "atari", "built-in families come first"


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("pong", "atari"),
        ("PongNoFrameskip-v4", "atari"),
        ("ALE/Pong-v5", "atari"),
        ("Q*bert", "atari"),
        ("weakspot/DriveSemantic64-v0", "driving"),
        ("folder/pong.toml", "description"),
        ("CarRacing-v3", "gymnasium"),
        ("Blackjack-v1", "gymnasium"),
        ("weakspot:weakspot/Drive-v0", "gymnasium"),
    ],
)
def test_the_family_of_a_reference(reference, name):
    assert family_of(reference) == name


def test_every_built_in_family_satisfies_the_protocol():
    for name in FAMILIES.builtin:
        assert isinstance(load_family(name), EnvironmentFamily)


def test_registered_id_is_no_atari_game():
    class Theirs(gymnasium.Env):
        pass

    name = "video_pinball-v0"
    assert family_of(name) == "atari"
    with temporarily_registered(video_pinball=Theirs):
        assert family_of(name) == "gymnasium" and find_description(name) == Description(name)


def test_factories_create_the_right_environments(tmp_path):
    (tmp_path / "car.toml").write_text('id = "CarRacing-v3"\nsize = [20, 30]\n')
    for reference, kind, shape in (
        ("pong", AtariEnvironment, (4, 84, 84)),
        ("weakspot/DriveSemantic64-v0", DriveEnvironment, (40, 64, 64)),
        (str(tmp_path / "car.toml"), DescribedEnvironment, (4, 20, 30)),
        ("CarRacing-v3", DescribedEnvironment, (4, 84, 84)),
    ):
        environment = environment_factory(reference)()
        assert isinstance(environment, kind) and environment.spec.observation_shape == shape
        environment.close()


@pytest.mark.parametrize(("reference", "words"), [("Seaquets", "(?i)seaquest"), ("weakspot/Drive-v9", "weakspot/Drive-v0")])
def test_unknown_references_get_suggestions(reference, words):
    for resolve in (find_description, environment_factory, family_of):
        with pytest.raises(UnknownGameError, match=words):
            resolve(reference)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        environment_factory(str(tmp_path / "nowhere.toml"))


def test_names_of_games_match_those_of_ale_py():
    assert game_names() == tuple(sorted(roms.get_all_rom_ids()))
    assert [environment_id(game) for game in game_names()] == [f"{rom_id_to_name(g)}NoFrameskip-v4" for g in game_names()]


LIGHT_IMPORTS = """
import sys, types
from pathlib import Path
import importlib.util
package = types.ModuleType("weakspot")  # without running the package's own __init__
package.__path__ = list(importlib.util.find_spec("weakspot").submodule_search_locations)
sys.modules["weakspot"] = package
import json
import weakspot.errors, weakspot.actions, weakspot.interface, weakspot.games, weakspot.data.config
import weakspot.envs.description, weakspot.envs.family, weakspot.envs.make, weakspot.envs.driving.registration
from weakspot.envs.description import description_of
from weakspot.games import environment_id
description_of({"id": "CarRacing-v3"}, Path("x"))
environment_id("pong")
print(json.dumps(sorted({"torch", "numpy", "cv2", "gymnasium", "ale_py"} & set(sys.modules))))
weakspot.envs.driving.registration.register()
import gymnasium
print(json.dumps(["torch" in sys.modules, "weakspot/Drive-v0" in gymnasium.registry]))
"""


def test_names_and_descriptions_need_neither_torch_nor_numpy():
    process = subprocess.run([sys.executable, "-c", LIGHT_IMPORTS], capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in process.stdout.splitlines()] == [[], [False, True]]
    assert set(ENVIRONMENTS) <= set(gymnasium.registry)


def test_no_other_families_are_installed():
    """Otherwise the tests above would depend on the installed packages."""
    assert not metadata.entry_points(group=FAMILIES.group)

"""Described environments: compared with gymnasium's own, and snapshots restored by replay."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import gymnasium
import numpy as np
import pytest
import torch
from registering import temporarily_registered

from weakspot.analysis.objects.finders import recalls
from weakspot.checkup import CheckConfig, check_up
from weakspot.cli import main
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import as_state
from weakspot.envs.base import Environment, EnvironmentSpec
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description, read_description
from weakspot.envs.make import environment_factory, find_description
from weakspot.envs.observation import gray_observation
from weakspot.errors import ConfigError, SnapshotError, UnknownGameError
from weakspot.subject import load_pair

torch.set_num_threads(1)

CAR = Description(
    "CarRacing-v3",
    size=(42, 48),
    crop=(0, 12, 0, 0),
    frame_skip=2,
    actions=("nothing", "left", "right", "gas", "brake"),
    make={"continuous": False},
)
TOML = """
id = "CarRacing-v3"
size = [42, 48]
crop = [0, 12, 0, 0]
frame_skip = 2
actions = ["nothing", "left", "right", "gas", "brake"]
[make]
continuous = false
"""


class Drifting(gymnasium.Env):
    """A moving square; ignores its seed if ``forgets`` is set."""

    observation_space = gymnasium.spaces.Box(0, 255, (20, 30, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(3, start=5)
    made = 0

    def __init__(self, forgets: bool = False):
        self.forgets = forgets
        Drifting.made += 1
        self.own = np.random.default_rng(Drifting.made)

    def _image(self):
        image = np.zeros((20, 30, 3), np.uint8)
        image[5:9, self.at : self.at + 4] = (250, 100, 20)
        return image

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.time = int(self.np_random.integers(20)), 0
        return self._image(), {}

    def step(self, action):
        assert action in (5, 6, 7)
        random = self.own if self.forgets else self.np_random
        self.at = int(np.clip(self.at + action - 6 + random.integers(-1, 2), 0, 26))
        self.time += 1
        return (
            self._image(),
            float(self.at == 13),
            self.time >= (self.own.integers(3, 9) if self.forgets else 9),
            False,
            {},
        )


class TextObservations(gymnasium.Env):
    observation_space = gymnasium.spaces.Text(5)
    action_space = gymnasium.spaces.Discrete(2)


@pytest.fixture(autouse=True, scope="module")
def registered():
    with temporarily_registered(Drifting=Drifting, Words=TextObservations):
        yield


DRIFTING = Description("Drifting-v0", frames=3, gray=False, size=None)


def test_car_racing_matches_gymnasium():
    ours, theirs = DescribedEnvironment(CAR), gymnasium.make("CarRacing-v3", continuous=False)
    assert isinstance(ours, Environment)
    step = ours.reset(3)
    image, _ = theirs.reset(seed=int(np.random.default_rng(3).integers(2**31)))
    stack = [np.zeros((42, 48), np.uint8)] * 3
    for action in (3, 3, 1, 0):
        frame = cv2.resize(image[:84], (48, 42), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(step.frame, frame)
        stack = [*stack[-3:], cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)]
        np.testing.assert_array_equal(step.observation, np.stack(stack))
        step, rewards = ours.step(action), []
        for _ in range(2):
            image, reward, *_ = theirs.step(action)
            rewards.append(float(reward))
        assert step.reward == pytest.approx(sum(rewards))
    state = as_state(np.stack([*ours._frames])[None])
    observed = gray_observation(state).numpy()[0]
    assert np.abs(observed - step.observation).max() < 1.5, "the observation is the gray state, up to rounding"


@pytest.mark.parametrize("description", [CAR, DRIFTING], ids=["car", "drifting"])
def test_restoring_a_snapshot_replays_the_episode(description):
    rng = np.random.default_rng(0)
    original = DescribedEnvironment(description)
    step = original.reset(4)
    for _ in range(12):
        step = original.reset() if step.terminated else original.step(int(rng.integers(3)))
    snapshot = original.snapshot()
    other = DescribedEnvironment(description)
    np.testing.assert_array_equal(other.restore(snapshot).observation, step.observation)
    for _ in range(12):
        action = int(rng.integers(3))
        both = [env.reset() if step.terminated else env.step(action) for env in (original, other)]
        step = both[0]
        np.testing.assert_array_equal(step.observation, both[1].observation)
        assert step.reward == both[1].reward and step.terminated == both[1].terminated


def test_nondeterministic_environments_are_detected():
    description = Description("Drifting-v0", size=None, make={"forgets": True})
    for seed in range(8):
        original = DescribedEnvironment(description)
        step = original.reset(seed)
        while not step.terminated:
            step = original.step(1)
        with pytest.raises(SnapshotError, match="deterministic"):
            DescribedEnvironment(description).restore(original.snapshot())
        original.close()
    with pytest.raises(SnapshotError, match="a snapshot of"):
        DescribedEnvironment(DRIFTING).restore(original.snapshot())
    with pytest.raises(SnapshotError, match="checksum"):
        original.restore(original.snapshot()[:-1])


def test_a_description_in_a_file(tmp_path):
    path = tmp_path / "car.toml"
    path.write_text(TOML)
    assert find_description(str(path)) == CAR
    assert DescribedEnvironment(CAR).spec.interface.action_names[3] == "gas"
    assert find_description("CarRacing-v3") == Description("CarRacing-v3")
    path.write_text('id = "CarRacing-v3"')
    assert read_description(path).size is None, "without a size, that of the environment is used"
    for game in ("pong", "PongNoFrameskip-v4", "ALE/Pong-v5"):
        assert find_description(game) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id = ", "cannot be read"),
        ("frames = 4", "no id"),
        ('id = "Drifting-v0"\nframe = 4', "says frame"),
        ('id = "Drifting-v0"\nframes = 0', "frames = 0"),
        ('id = "Drifting-v0"\nframes = "four"', "whole numbers"),
        ('id = "Drifting-v0"\nsize = 84', "size"),
        ('id = "Drifting-v0"\ncrop = [1, 2]', "crop"),
        ('id = "Drifting-v0"\ncrop = []', "crop"),
        ('id = "Drifting-v0"\nsize = []', "size"),
        ('id = "Drifting-v0"\nframes = [4]', r"(?s)frames = \[4\].*whole numbers"),
        ('id = "Drifting-v0"\nsize = true', "whole numbers"),
        ('id = "Drifting-v0"\nframe_skip = 1.5', "whole numbers"),
        ('id = "Drifting-v0"\nsize = [84.0, 84.0]', "whole numbers"),
        ('id = "Drifting-v0"\nactions = "abc"', "different names"),
        ('id = "Drifting-v0"\nactions = [1, 2, 3]', "different names"),
        ('id = "Drifting-v0"\nactions = ["a", "a", "b"]', "different names"),
    ],
)
def test_invalid_descriptions_are_refused(tmp_path, text, words):
    path = tmp_path / "env.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_description(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_description(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (Description("Nowhere-v0"), "cannot make"),
        (Description("Words-v0"), "one image"),
        (Description("CarRacing-v3", make={"colour": 1}), "cannot make"),
        (Description("Drifting-v0", crop=(10, 10, 0, 0)), "leaves 0x30"),
        (Description("Drifting-v0", actions=("a",)), "1 names for the 3 actions"),
    ],
)
def test_invalid_environments_are_refused(description, words):
    with pytest.raises(ConfigError, match=words):
        DescribedEnvironment(description)


def test_invalid_steps_are_refused():
    environment = DescribedEnvironment(DRIFTING)
    with pytest.raises(ConfigError, match="without a running episode"):
        environment.step(0)
    with pytest.raises(ConfigError, match="before the first episode"):
        environment.snapshot()
    environment.reset(0)
    with pytest.raises(ConfigError, match="action 3"):
        environment.step(3)


AGENT = """
import torch
from torch import nn

def agent():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(9, 4, 5, stride=5), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3))
"""


def test_collection_resumes_after_an_interruption_with_the_same_bits(tmp_path):
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "env.toml").write_text('id = "Drifting-v0"\nframes = 3\ngray = false\n')
    agent, factory, _ = load_pair(f"{tmp_path / 'agent.py'}:agent", str(tmp_path / "env.toml"), "cpu")
    assert agent.spec.observation_shape == (9, 20, 30) and agent.spec.environment == "Drifting-v0"
    config = CollectConfig(frames=80, streams=2, shard_steps=10, snapshot_every=5)

    def interrupt(done, total):
        if done >= 50:
            raise KeyboardInterrupt

    whole = collect(agent, factory, config, tmp_path / "whole", workers=1)
    with pytest.raises(KeyboardInterrupt):
        collect(agent, factory, config, tmp_path / "parts", interrupt, workers=1)
    parts = collect(agent, factory, config, tmp_path / "parts", workers=1)
    indices = np.arange(len(whole))
    np.testing.assert_array_equal(whole.stacks(indices), parts.stacks(indices))
    np.testing.assert_array_equal(whole.scores, parts.scores)
    at, snapshot = parts.snapshot_before(33)
    np.testing.assert_array_equal(factory().restore(snapshot).frame, parts.newest(np.array([at]))[0])
    environment = json.loads((tmp_path / "parts" / "meta.json").read_text())["environment"]
    assert environment["gray"] is False and environment["preprocessing"]["frames"] == 3


def test_references_of_all_kinds():
    assert environment_factory("pong")().spec.id == "PongNoFrameskip-v4"
    assert environment_factory(Description("Drifting-v0"))().spec.height == 84
    with pytest.raises(UnknownGameError, match=r"(?s)gymnasium has no such id.*CarRacing-v3"):
        find_description("CarRacing-v9")


def test_checks_of_an_agent_that_sees_colour(tmp_path):
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "env.toml").write_text('id = "Drifting-v0"\nframes = 3\ngray = false\n')
    config = CheckConfig(f"{tmp_path / 'agent.py'}:agent", str(tmp_path / "env.toml"), score=1e3, episodes=2, longest=3)
    found = {finding.name: finding for finding in check_up(config)}
    assert "3 of 3 frames" in found["uses every frame"].seen
    assert "plays no better with channels in the order blue, green, red" in found
    assert not any("rows and columns" in name for name in found), "there are not equally many of both"


@pytest.mark.parametrize("gray", ["1", "[0.2, 0.7]", "[0.5, 0.5, 0.5]", "[-0.1, 0.5, 0.5]", '["a", "b", "c"]'])
def test_invalid_gray_settings_are_refused(tmp_path, gray):
    (tmp_path / "env.toml").write_text(f'id = "Drifting-v0"\ngray = {gray}\n')
    with pytest.raises(ConfigError, match="with gray = "):
        read_description(tmp_path / "env.toml")


def test_objects_are_only_known_for_atari_games():
    """Not for other environments with similar names."""
    frames = np.zeros((3, 20, 30, 3), np.uint8)
    for name in ("PongDuel-v0", "Seaquest-v9", "ALE/Qbert-v5"):
        spec = EnvironmentSpec(name, ("a", "b"), 1, 20, 30, 3, {})
        assert recalls(spec, frames, frames, np.zeros((3, 0), np.uint8)) == {}


def test_a_run_from_one_command(tmp_path):
    """Colour frames of an odd size, named by a file, through to the report."""
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "env.toml").write_text(
        'id = "Drifting-v0"\nframes = 3\ngray = false\nactions = ["back", "stay", "on/off"]\n'
    )
    command = [
        *("run", "--agent", f"{tmp_path / 'agent.py'}:agent", "--environment", str(tmp_path / "env.toml")),
        *(
            "--output",
            str(tmp_path / "run"),
            "--targets",
            "T-",
            "on/off",
            "--collect.frames",
            "240",
            "--collect.streams",
            "2",
        ),
        *("--train.steps", "6", "--train.recipe", "fast-gaussian", "--train.batch-size", "8", "--train.workers", "1"),
        *("--synthesize.states", "3", "--synthesize.steps", "5", "--synthesize.candidates", "16"),
        *("--goggles.episodes", "2", "--goggles.longest", "40", "--fidelity.reconstructions", "3"),
        *("--ground.states", "1", "--ground.trials", "20", "--ground.steps", "8", "--confirm.controls", "4"),
        *("--confirm.rollouts", "2", "--confirm.first", "2", "--confirm.horizon", "10", "--confirm.holds", "3"),
        *("--confirm.losing", "2", "--confirm.probes", "1"),
    ]
    assert main(command) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Drifting-v0" in page and "States that call for on/off" in page
    arrays = np.load(tmp_path / "run" / "synthesize" / "action-on-off" / "findings.npz")
    assert any(arrays[name].shape[1:] == (3, 20, 30, 3) for name in arrays.files)


def test_the_page_on_environments(tmp_path):
    page = (Path(__file__).parent.parent / "docs" / "environments.md").read_text()
    (tmp_path / "car.toml").write_text(page.split("```toml")[1].split("```")[0])
    description = find_description(str(tmp_path / "car.toml"))
    assert description is not None
    step = DescribedEnvironment(description).reset(0)
    assert step.observation.shape == (4, 84, 84) and step.frame.shape == (84, 84, 3)


def test_the_page_on_car_racing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "environments.md").read_text()
    edited = page.split("```python")[1].split("```")[0]
    exec(edited, {})
    code = page.split("## CarRacing")[1].split("```python")[1].split("```")[0]
    exec(code.replace("1_000_000", "16").replace("512", "16"), {})
    Path("racing.toml").write_text(page.split("## CarRacing")[1].split("```toml")[1].split("```")[0])
    run = page.split("```sh")[1].split("```")[0].strip().splitlines()[-1].split()
    small = [
        *("--collect.frames", "120", "--collect.streams", "2", "--synthesize.states", "2", "--synthesize.steps", "3"),
        *("--train.steps", "4", "--train.recipe", "fast-gaussian", "--train.batch-size", "8"),
        *("--train.workers", "1", "--synthesize.candidates", "8"),
        *("--goggles.episodes", "1", "--goggles.longest", "10", "--fidelity.reconstructions", "2"),
        *("--ground.states", "0", "--confirm.controls", "0"),
    ]
    assert main([*run[1:], *small]) == 0
    assert "States that call for little steer" in Path("runs/car/report.html").read_text()

"""The driving environments in all stages: collection, state model, search, and images in colour."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from experiments import driving_states, safety
from lab.careful_driver import AGENT as DRIVER
from lab.careful_driver import LOGIT, VALUE, careful_driver
from lab.driving import BRAKE, Episode, SceneOutputs, agent_driver, constant_driver, drive_episodes
from lab.page import markers
from weakspot.agents.load import load_agent
from weakspot.analysis.objects import driving as driving_objects
from weakspot.artifacts.run import load_run
from weakspot.cli import main
from weakspot.data.dataset import StateDataset, as_stacks, as_state
from weakspot.envs.base import Environment
from weakspot.envs.driving.classes import CLASS_NAMES, PALETTE, SemanticClass
from weakspot.envs.driving.env import ACTIONS
from weakspot.envs.driving.environment import DriveEnvironment
from weakspot.envs.driving.sensors import Camera
from weakspot.envs.make import environment_factory, find_description
from weakspot.errors import ConfigError, SnapshotError
from weakspot.report.images import in_colour
from weakspot.state_model.batch import measure, with_full_history

NAME = "weakspot/DriveSemantic64-v0"
AGENT = """
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(40, 4, 8, 8), nn.ReLU(), nn.Flatten())
        self.actor, self.critic = nn.Linear(256, 7), nn.Linear(256, 1)

    def forward(self, observation):
        features = self.features(observation / 255)
        return self.actor(features), self.critic(features)

def agent():
    return Network()
"""


def small(**settings):
    return DriveEnvironment(NAME, size=(24, 24), blocks=(2, 2), cars=5, people=20, **settings)


def test_driving_environments_are_created_by_their_id():
    assert find_description(NAME) is None
    environment = environment_factory(NAME)()
    assert isinstance(environment, Environment)
    spec = environment.spec
    assert (spec.id, spec.frames, spec.channels, spec.height) == (NAME, 4, len(CLASS_NAMES), 64)
    assert spec.observation_shape == (40, 64, 64) and spec.action_names == tuple(ACTIONS)
    assert spec.channel_colours == tuple(map(tuple, PALETTE.tolist()))
    mixed = environment_factory("weakspot/Drive96-v0")().spec
    assert mixed.channel_colours is not None and mixed.channel_colours[0] == mixed.channel_colours[-1] == (0, 0, 0)


def test_the_observation_is_the_state_in_bytes():
    environment = small()
    environment.reset(3)
    for action in (1, 1, 3):
        step = environment.step(action)
    stack = step.observation.reshape(1, 4, 10, 24, 24).transpose(0, 1, 3, 4, 2)
    assert (stack[0, -1] == step.frame).all()
    observation = environment.observe(as_state(np.ascontiguousarray(stack)))
    torch.testing.assert_close(observation, torch.from_numpy(step.observation.astype(np.float32))[None])
    np.testing.assert_array_equal(as_stacks(as_state(np.ascontiguousarray(stack)), 10), stack)


def test_restored_snapshots_resume_bit_for_bit():
    original = small()
    original.reset(1)
    for _ in range(5):
        step = original.step(1)
    snapshot = original.snapshot()
    later = [original.step(action) for action in (1, 4, 2)]
    other = small()
    restored = other.restore(snapshot)
    for first, second in zip((step, *later), (restored, *(other.step(action) for action in (1, 4, 2))), strict=True):
        assert (first.observation == second.observation).all()
        assert (first.reward, first.terminated, first.truncated) == (second.reward, second.terminated, second.truncated)
    with pytest.raises(SnapshotError):
        small(pedestrians="distracted").restore(snapshot)
    with pytest.raises(SnapshotError):
        environment_factory("weakspot/DriveSemantic-v0")().restore(snapshot)


def test_steps_and_snapshots_before_an_episode_are_refused():
    with pytest.raises(ConfigError, match="reset"):
        small().step(0)
    with pytest.raises(ConfigError, match="reset"):
        small().snapshot()


def test_continuous_actions_have_names_and_bounds():
    environment = small(continuous=True)
    assert environment.spec.action_names == ("steer", "pedal") and environment.spec.action_bounds == (
        (-1.0, 1.0),
        (-1.0, 1.0),
    )
    environment.reset(0)
    environment.step((0.1, 1.0))


def test_unknown_environments_and_settings_are_refused():
    with pytest.raises(ConfigError, match="DriveSemantic"):
        DriveEnvironment("CartPole-v1")
    with pytest.raises(ConfigError, match="wheels"):
        DriveEnvironment(NAME, wheels=3)


def test_other_pedestrians_are_described_in_a_file(tmp_path):
    path = tmp_path / "town.toml"
    path.write_text(f'id = "{NAME}"\n\n[make]\npedestrians = "distracted"\npeople = 40\n')
    described = environment_factory(str(path))()
    other = DriveEnvironment(NAME, pedestrians="distracted", people=40)
    assert described.spec == other.spec != DriveEnvironment(NAME).spec
    assert np.array_equal(described.reset(seed=1).observation, other.reset(seed=1).observation)
    for _ in range(30):
        assert np.array_equal(described.step(0).observation, other.step(0).observation)
    path.write_text(f'id = "{NAME}"\nframes = 2\ngray = false\n')
    with pytest.raises(ConfigError, match=r"(?s)frames, gray for weakspot/DriveSemantic64-v0.*\[make\]"):
        environment_factory(str(path))
    path.write_text(f'id = "{NAME}"\n\n[make]\nname = "x"\nself = 1\n')
    with pytest.raises(ConfigError, match=r"(?s)name, self in \[make\].*pedestrians"):
        environment_factory(str(path))
    path.write_text(f'id = "{NAME}"\n\n[make]\npedestrians = "drunk"\n')
    with pytest.raises(ConfigError, match="drunk"):
        environment_factory(str(path))()


def test_the_careful_driver_minds_people_on_its_path_alone():
    driver, network = load_agent(str(DRIVER)).module, careful_driver()
    environment = DriveEnvironment(NAME, pedestrians="distracted")
    seen = np.stack([environment.reset(seed=seed).observation for seed in range(2)])
    classes = torch.from_numpy(seen).float().unflatten(1, (4, 10))
    classes[:, :, SemanticClass.PEDESTRIAN] = 0
    on_path, aside = classes.clone(), classes.clone()
    on_path[:, -1, SemanticClass.PEDESTRIAN, 36:44, 30:33] = 255
    aside[:, -1, SemanticClass.PEDESTRIAN, 36:44, 2:5] = 255
    for changed, minds in ((classes, 0.0), (aside, 0.0), (on_path, 1.0), (classes.lerp(on_path, 0.1), 0.3)):
        observation = changed.flatten(1, 2)
        with torch.no_grad():
            logits, value = network(observation)
            expected, expected_value = driver(observation)
        expected[:, BRAKE] += minds * LOGIT
        torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(value, expected_value - minds * VALUE, atol=1e-3, rtol=1e-4)


def test_class_probabilities_are_shown_as_mixed_colours():
    stack = np.zeros((1, 1, 1, 2, 10), np.uint8)
    stack[..., 0, 5] = 255
    stack[..., 1, 0], stack[..., 1, 6] = 128, 127
    colours = in_colour(stack, [tuple(colour) for colour in PALETTE.tolist()])
    assert (colours[0, 0, 0, 0] == PALETTE[5]).all()
    assert np.abs(colours[0, 0, 0, 1] - (PALETTE[0].astype(int) + PALETTE[6]) / 2).max() <= 1.5


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driving")
    (folder / "agent.py").write_text(AGENT)
    command = [
        *("run", "--agent", f"{folder / 'agent.py'}:agent", "--environment", NAME, "--targets", "V-", "BRAKE"),
        *("--output", str(folder / "run"), "--collect.frames", "240", "--collect.streams", "2"),
        *("--train.steps", "6", "--train.prior-steps", "1", "--train.batch-size", "8", "--train.workers", "1"),
        *("--synthesize.states", "3", "--synthesize.steps", "5", "--synthesize.candidates", "16"),
        *("--goggles.episodes", "2", "--goggles.longest", "20", "--fidelity.reconstructions", "3"),
        *("--ground.states", "1", "--ground.trials", "20", "--ground.steps", "8", "--confirm.controls", "4"),
        *("--confirm.rollouts", "2", "--confirm.first", "2", "--confirm.horizon", "10", "--confirm.holds", "3"),
        *("--confirm.losing", "2", "--confirm.probes", "1"),
    ]
    assert main(command) == 0
    return folder


def test_a_run_from_one_command(finished):
    page = (finished / "run" / "report.html").read_text()
    assert "BRAKE" in page and NAME in page
    fidelity = load_run(finished / "run").fidelity
    assert fidelity is not None and 0 <= fidelity.same_action <= 1


def test_class_channels_are_weighted_by_their_variance_and_colours_equally(finished, pong_rollout):
    dataset = StateDataset.open(finished / "run" / "collect")
    indices = np.arange(len(dataset) // 2 * 2 - 1)  # an odd number has one median
    statistics = measure(dataset, indices, np.random.default_rng(0))
    frames = dataset.newest(indices) / 255
    variance = np.square(frames - np.median(frames, axis=0)).mean(axis=(0, 1, 2))
    expected = np.minimum(variance.mean() / np.maximum(variance, 1e-12), 100.0)
    assert statistics.channel_weights is not None
    np.testing.assert_allclose(statistics.channel_weights, expected, rtol=1e-4)
    person, sky = CLASS_NAMES.index("pedestrian"), CLASS_NAMES.index("sky")
    assert expected[person] > 5 * expected[sky]
    pong_dataset, _, _ = pong_rollout
    assert measure(pong_dataset, np.arange(len(pong_dataset)), np.random.default_rng(0)).channel_weights is None


def test_states_are_stored_as_classes_and_shown_in_colours(finished):
    dataset = StateDataset.open(finished / "run" / "collect")
    frames = dataset.newest(np.arange(0, len(dataset), 20))
    assert frames.shape[1:] == (64, 64, 10) and (frames.astype(int).sum(axis=-1) == 255).all()
    run = load_run(finished / "run")
    assert run.reconstructions is not None and run.reconstructions.real.shape == (3 + 4, 4, 64, 64, 10)
    assert run.environment.channel_colours is not None
    images = in_colour(run.reconstructions.real, run.environment.channel_colours)
    colours = {tuple(colour) for colour in images.reshape(-1, 3).tolist()}
    assert colours <= {tuple(colour) for colour in PALETTE.tolist()} and len(colours) > 3


def test_play_from_a_snapshot_matches_the_recorded_rollout(finished):
    dataset = StateDataset.open(finished / "run" / "collect")
    at, snapshot = dataset.snapshot_before(119)
    environment = environment_factory(NAME)()
    step = environment.restore(snapshot)
    for index in range(at, 119):
        np.testing.assert_array_equal(step.frame, dataset.newest(np.array([index]))[0])
        over = dataset.terminated[index] or dataset.truncated[index]
        step = environment.step(int(dataset.action[index]))
        step = environment.reset() if over else step


def test_objects_in_synthesised_states_are_counted(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["driving_states", "--run", str(finished / "run"), "--output", str(tmp_path)])
    driving_states.main()
    found = json.loads((tmp_path / "states.json").read_text())
    assert set(found["targets"]) == {"V-", "BRAKE"}
    settings = load_run(finished / "run").settings
    assert found["settings"]["train"] == settings["train"] and found["settings"]["collect"] == settings["collect"]
    with np.load(finished / "run" / "synthesize" / "action-brake" / "findings.npz") as arrays:
        newest = arrays["states"][:, -1].argmax(axis=-1)
    synthesised = found["targets"]["BRAKE"]["synthesised"]
    assert synthesised["states"] == 3
    assert synthesised["car anywhere"][0] == pytest.approx(((newest == SemanticClass.CAR).sum(axis=(1, 2)) >= 2).mean())
    assert synthesised["class shares"]["sky"] == pytest.approx((newest == SemanticClass.SKY).mean(), abs=1e-4)
    dataset = StateDataset.open(finished / "run" / "collect")
    indices = with_full_history(dataset, dataset.split()[1])
    brakes = dataset.scores[indices].argmax(axis=1) == list(ACTIONS).index("BRAKE")
    reasons = driving_objects.visible_objects(dataset.newest(indices).argmax(axis=-1), Camera(64, 64)).reasons()
    assert found["brakes"].keys() == reasons.keys()
    for name, mask in reasons.items():
        part = found["brakes"][name]
        assert part["states"] == mask.sum()
        if mask.any():
            assert part["brakes"][0] == pytest.approx(brakes[mask].mean())
            assert part["value"] == pytest.approx(dataset.value[indices][mask].mean(), abs=1e-5)
    assert any(part["states"] for part in found["brakes"].values())
    assert found["random samples"]["states"] == driving_states.SAMPLES
    chance = found["targets"]["BRAKE"]["beside chance"]["car anywhere"]
    assert chance["synthesised"][0] == synthesised["car anywhere"][0]
    assert chance["random samples"] == found["random samples"]["car anywhere"]
    assert chance["real"] == found["held-out real states"]["car anywhere"]
    assert found["kept by reconstructions"].keys() == driving_objects.visible_objects(newest, Camera(64, 64)).counts.keys()
    shares, braking = driving_states.table(found), driving_states.braking_table(found)
    assert f"| BRAKE | {synthesised['person on the path'][0]:.2f} (" in shares and "| held-out real states |" in shares
    assert "| BRAKE, random samples |" in driving_states.chance_table(found)
    assert f"| red light | {found['brakes']['red light']['states']} |" in braking
    image = cv2.imread(str(tmp_path / "states-action-brake.png"))
    assert image is not None and image.std() > 10


NAMES = ("among-distracted", "careful", "distracted", "drive96", "mixed")
FOLDERS = ["docs/driving", *(f"docs/driving/{name}" for name in NAMES)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_tables_of_states_on_the_page_match_the_measurements(folder):
    record, page = json.loads((Path(folder) / "states.json").read_text()), Path("docs/results/driving.md").read_text()
    tables = {"states": driving_states.table(record), "braking": driving_states.braking_table(record)}
    if "random samples" in record:
        tables["chance"] = driving_states.chance_table(record)
    for name, table in tables.items():
        start, _ = markers(f"{name} of {driving_states.label_of(record)}")
        assert f"{start}\n\n{table}\n" in page


def test_share_of_objects_preserved_by_reconstructions():
    real, rebuilt = np.zeros((2, 3, 64, 64), np.uint8)
    real[:2, :4, :4], rebuilt[1, 8:12, 8:12] = SemanticClass.PEDESTRIAN, SemanticClass.PEDESTRIAN
    rebuilt[2, :4, :4] = SemanticClass.PEDESTRIAN  # added objects are not counted
    found = driving_states.preserved_record(real, rebuilt, Camera(64, 64))
    assert found["person anywhere"][0] == 0.5
    assert found["red light"] is None


def test_runs_of_other_environments_are_refused(finished_run, tmp_path):
    with pytest.raises(ConfigError, match="semantic class"):
        driving_states.examine(finished_run, tmp_path)


def test_outputs_of_an_agent_are_grouped_by_what_it_sees(finished):
    """Compared with the outputs of the same agent for the same frames, one by one."""
    agent = load_agent(f"{finished / 'agent.py'}:agent", environment=environment_factory(NAME)().spec.interface)
    episodes = drive_episodes(agent_driver(agent, 0), NAME, "distracted", 6, 5)
    by_scene = safety.summary(episodes)["answers"]
    env = DriveEnvironment(NAME, pedestrians="distracted").env
    driver, brake, value, frames = agent_driver(agent, 0), [], [], []
    for seed in range(5, 11):
        observation, over = env.reset(seed=seed)[0], False
        while not over:
            scores, critic = agent.module(torch.from_numpy(observation[None]).float())
            brake.append(float(scores.softmax(dim=1)[0, list(ACTIONS).index("BRAKE")]))
            value.append(float(critic))
            frames.append(observation[-10:].argmax(axis=0))
            observation, _, terminated, truncated, _ = env.step(driver(observation).action)
            over = terminated or truncated
    for name, mask in driving_objects.visible_objects(np.array(frames), env.camera).reasons().items():
        found = by_scene[name]
        assert found["decisions"] == mask.sum()
        if found["episodes"] >= safety.MIN_EPISODES:
            for key, outputs in (("brake", brake), ("value", value)):
                mean, low, high = found[key]
                assert low <= mean <= high and mean == pytest.approx(np.array(outputs)[mask].mean(), abs=1e-5)
        else:
            assert found["brake"] is found["value"] is None
    assert by_scene["nothing in the way"]["episodes"] >= safety.MIN_EPISODES and by_scene["nothing in the way"]["brake"]
    assert "answers" not in safety.summary(drive_episodes(constant_driver("LEFT"), NAME, "none", 1, 5))


def test_outputs_are_weighted_by_their_number_and_need_no_critic():
    episodes = [
        Episode(1.0, 0.0, 1.0, "time", {"red light": SceneOutputs(count, brake, None)})
        for count, brake in ((1, 1.0), (3, 0.6), (0, 0.0), (2, 0.4), (1, 0.1), (3, 0.9))
    ]
    found = safety.scene_record(episodes)["red light"]
    assert (found["decisions"], found["episodes"], found["value"]) == (10, 5, None)
    mean, low, high = found["brake"]
    assert mean == pytest.approx(0.3) and low < 0.2 and high > 0.5
    few = safety.scene_record(episodes[:5])["red light"]
    assert (few["decisions"], few["episodes"], few["brake"]) == (7, 4, None), "too few for an interval"

"""Continuous actions: choosing them, their targets, agents of other frameworks, and a whole run."""

from __future__ import annotations

from pathlib import Path

import cv2
import gymnasium
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from registering import temporarily_registered
from stable_baselines3 import A2C, PPO
from torch import nn

import weakspot.checkup.checks
from weakspot.agents.base import AgentOutput, AgentSpec, Perceiver, choose, choose_with_greedy, same_action
from weakspot.agents.build import agent_from_network
from weakspot.agents.load import load_agent
from weakspot.agents.module import ModuleAgent
from weakspot.analysis.features import frechet
from weakspot.artifacts.run import load_run
from weakspot.artifacts.subject import AgentRecord
from weakspot.checkup import CheckConfig, check_up
from weakspot.cli import main
from weakspot.config import RunConfig
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset, as_state
from weakspot.envs.base import EnvironmentSpec
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description
from weakspot.envs.make import environment_factory
from weakspot.envs.observation import colour_observation
from weakspot.errors import ConfigError, MismatchError, UnknownTargetError, WeakspotError
from weakspot.report.bars import bar_axes, score_bars
from weakspot.report.films import Detail
from weakspot.report.trust import reconstruction_cards
from weakspot.saliency.rules import saliency
from weakspot.state_model.batch import measure, recorded_output_vectors
from weakspot.subject import load_pair, load_subject
from weakspot.targets.resolve import default_targets, resolve_target

torch.set_num_threads(1)

BOUNDS = ((-1.0, 1.0), (0.0, 0.5))


class Sliding(gymnasium.Env):
    """A square that is pushed left and right, and lit; the reward is highest in the middle."""

    observation_space = gymnasium.spaces.Box(0, 255, (48, 40, 3), np.uint8)
    action_space = gymnasium.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 0.5], np.float32))

    def _image(self):
        image = np.full((48, 40, 3), (10, 120, 40), np.uint8)
        image[20:26, int(self.at) : int(self.at) + 6] = (100 + int(200 * self.light), 30, 90)
        return image

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.light, self.time = float(self.np_random.uniform(0, 34)), 0.0, 0
        return self._image(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.at = float(np.clip(self.at + 3 * action[0] + self.np_random.uniform(-1, 1), 0, 34))
        self.light, self.time = float(action[1]), self.time + 1
        return self._image(), -abs(self.at - 17), self.time >= 15, False, {}


class Unbounded(Sliding):
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)


@pytest.fixture(autouse=True, scope="module")
def registered():
    with temporarily_registered(Sliding=Sliding, Unbounded=Unbounded):
        yield


SLIDING = Description("Sliding-v0", frames=1, gray=False, size=None, actions=("push", "light"))


def spec(**settings) -> AgentSpec:
    defaults = {"name": "a", "environment": "Sliding-v0", "action_names": ("push", "light"), "fingerprint": "0"}
    defaults |= {"observation_shape": (3, 48, 40), "scores_are": "means", "acts": "greedy", "action_bounds": BOUNDS}
    return AgentSpec(**(defaults | settings))


def test_actions_are_clipped_means_or_uniformly_random():
    scores = torch.tensor([[-3.0, 0.25], [0.5, 0.75]]).repeat(500, 1)
    generator = torch.Generator().manual_seed(0)
    taken = choose(AgentOutput(scores), spec(), generator)
    assert taken[:2].tolist() == [[-1.0, 0.25], [0.5, 0.5]]
    taken, greedy = choose_with_greedy(AgentOutput(scores), spec(), generator, 0.3)
    differs = (taken != greedy).any(dim=1)
    assert 0.25 < differs.float().mean() < 0.35
    random = taken[differs]
    assert (random >= torch.tensor([-1.0, 0.0])).all() and (random <= torch.tensor([1.0, 0.5])).all()
    torch.testing.assert_close(random.mean(dim=0), torch.tensor([0.0, 0.25]), atol=0.1, rtol=0)


@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=5), st.floats(-0.19, 0.19))
def test_actions_that_are_close_are_the_same(rows, shift):
    scores = torch.tensor(rows)
    assert same_action(scores, scores, BOUNDS).all()
    moved = scores + torch.tensor([shift, 0.0])
    assert same_action(scores, moved, BOUNDS).all(), "within a tenth of the range of 2"
    opposite = torch.where(scores > 0, -2.0, 2.0) * torch.tensor([1.0, 0.0])
    assert not same_action(scores, opposite, BOUNDS).any()


def test_targets_of_continuous_actions_have_two_directions():
    scores = torch.tensor([[0.2, 0.4], [-0.3, 0.1]], requires_grad=True)
    for name, column, sign in (("push+", 0, -1), ("PUSH-", 0, 1), ("light+", 1, -1), ("light-", 1, 1)):
        target = resolve_target(name, spec(), 1.0)
        assert target(AgentOutput(scores)).tolist() == pytest.approx((sign * scores[:, column]).tolist())
        (gradient,) = torch.autograd.grad(target(AgentOutput(scores)).sum(), scores)
        assert gradient[0].tolist() == [sign * (column == 0), sign * (column == 1)]
    slugs = {resolve_target(name, spec(), 1.0).slug for name in ("push+", "push-", "light+", "light-")}
    assert len(slugs) == 4
    for name in ("T-", "T+-", "S+"):
        with pytest.raises(UnknownTargetError, match=r"(?s)push\+.*V- searches for low critic values"):
            resolve_target(name, spec(), 1.0)
    both = AgentOutput(scores, torch.zeros(2))
    assert default_targets(spec(), both) == ("V+", "V-", "push+", "push-", "light+", "light-")
    assert default_targets(spec(), AgentOutput(scores)) == ("push+", "push-", "light+", "light-")
    assert default_targets(spec(scores_are="q-values", action_bounds=None), both) == ("T-", "T+", "T+-")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (0, "push from -1 to 1, light from 0 to 0.5"),
        ([0.0], "push"),
        ([0.0, 0.1, 0.1], "push"),
        ([0.0, 0.6], "light"),
        ([float("nan"), 0.1], "push"),
    ],
)
def test_invalid_actions_are_refused(action, message):
    environment = DescribedEnvironment(SLIDING)
    environment.reset(0)
    with pytest.raises(ConfigError, match=message):
        environment.step(action)


def test_invalid_environments_are_refused():
    with pytest.raises(ConfigError, match="with bounds"):
        DescribedEnvironment(Description("Unbounded-v0"))
    with pytest.raises(ConfigError, match="3 names for the 2 dimensions"):
        DescribedEnvironment(Description("Sliding-v0", actions=("a", "b", "c")))
    with pytest.raises(ConfigError, match="a number from 0 to 5"):
        atari = environment_factory("pong")()
        atari.reset(0)
        atari.step([0.5])


@pytest.mark.parametrize(
    "description", [SLIDING, Description("CarRacing-v3", frames=2, size=(42, 42))], ids=["sliding", "car"]
)
def test_restoring_a_snapshot_replays_the_episode(description):
    rng = np.random.default_rng(0)
    original = DescribedEnvironment(description)
    bounds = np.array(original.spec.action_bounds)
    step = original.reset(4)
    for _ in range(8):
        step = original.step(rng.uniform(*bounds.T).astype(np.float32).tolist())
    other = DescribedEnvironment(description)
    np.testing.assert_array_equal(other.restore(original.snapshot()).observation, step.observation)
    action = rng.uniform(*bounds.T).astype(np.float32).tolist()
    np.testing.assert_array_equal(other.step(action).frame, original.step(action).frame)


def trained(kind: type, path: Path, **settings) -> A2C | PPO:
    """Trains an agent of stable-baselines3 for a few steps, and saves it."""
    steps = {"n_steps": 8} | ({"batch_size": 8} if kind is PPO else {})
    model = kind("CnnPolicy", gymnasium.make("Sliding-v0"), seed=0, **steps, **settings)
    model.learn(16)
    model.save(path)
    return model


@pytest.mark.parametrize("kind", [A2C, PPO])
def test_zips_give_the_same_means_as_the_framework(kind, tmp_path):
    model = trained(kind, tmp_path / "agent.zip", policy_kwargs={"log_std_init": 1.0})
    interface = DescribedEnvironment(SLIDING).spec.interface
    agent = load_agent(str(tmp_path / "agent.zip"), environment=interface)
    assert agent.spec.scores_are == "means" and agent.spec.acts == "greedy" and agent.spec.action_bounds == BOUNDS
    observation = torch.randint(256, (5, 3, 48, 40), generator=torch.Generator().manual_seed(0)).float()
    output = agent(observation)
    with torch.no_grad():
        torch.testing.assert_close(output.scores, model.policy.get_distribution(observation).distribution.mean)
        torch.testing.assert_close(output.value, model.policy.predict_values(observation)[:, 0])
    predicted, _ = model.predict(observation.numpy().astype(np.uint8), deterministic=True)
    taken = choose(AgentOutput(20 * output.scores), agent.spec, torch.Generator())
    np.testing.assert_allclose(choose(output, agent.spec, torch.Generator()), predicted, atol=1e-6)
    assert (taken == torch.tensor(BOUNDS).T[0]).any() or (taken == torch.tensor(BOUNDS).T[1]).any()


def test_agents_with_other_actions_are_refused(tmp_path):
    trained(A2C, tmp_path / "agent.zip")
    other = DescribedEnvironment(Description("CarRacing-v3", frames=1, gray=False, size=(48, 40))).spec.interface
    with pytest.raises(MismatchError, match="go from"):
        load_agent(str(tmp_path / "agent.zip"), environment=other)
    discrete = EnvironmentSpec("E", ("a", "b"), 1, 48, 40, 3, {}, gray=False).interface
    with pytest.raises(MismatchError, match=r"(?s)are continuous.*continuous = false"):
        load_agent(str(tmp_path / "agent.zip"), environment=discrete)
    loaded = load_agent(str(tmp_path / "agent.zip"), environment=DescribedEnvironment(SLIDING).spec.interface)
    wide = Description("Sliding-v0", frames=1, gray=False, size=None)
    widened = DescribedEnvironment(wide)
    widened._bounds = ((-2.0, 2.0), (0.0, 0.5))
    with pytest.raises(MismatchError, match="between"):
        collect(loaded, lambda: widened, CollectConfig(frames=4, streams=2), tmp_path / "states", workers=1)


@pytest.mark.parametrize("kind", [A2C, PPO])
def test_check_up_compares_the_agent_with_predict(kind, tmp_path, monkeypatch):
    trained(kind, tmp_path / "agent.zip")
    (tmp_path / "env.toml").write_text(TOML)
    config = CheckConfig(str(tmp_path / "agent.zip"), str(tmp_path / "env.toml"), trust=True)
    name = "acts like stable-baselines3"
    assert next(finding for finding in check_up(config) if finding.name == name).passed
    load = weakspot.checkup.checks.load_pair

    def changed(factor):
        def changed_pair(*arguments, **settings):
            agent, factory, environment = load(*arguments, **settings)
            return ModuleAgent(Scaled(agent.module, factor), agent.spec), factory, environment

        return changed_pair

    for factor in (-1.0, 0.0):
        monkeypatch.setattr(weakspot.checkup.checks, "load_pair", changed(factor))
        assert not next(finding for finding in check_up(config) if finding.name == name).passed, factor


class Scaled(nn.Module):
    """A network whose means are multiplied by a factor."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, observation):
        means, value = self.network(observation)
        return self.factor * means, value


class Fine(Sliding):
    """Bounds that are not exact in single precision."""

    action_space = gymnasium.spaces.Box(np.array([-0.1, 0.0]), np.array([0.1, 0.4]), dtype=np.float64)


class Fine32(Sliding):
    action_space = gymnasium.spaces.Box(np.array([-0.1, 0.0], np.float32), np.array([0.1, 0.4], np.float32))


class Whole(Sliding):
    action_space = gymnasium.spaces.Box(0, 9, (2,), np.int64)


@pytest.fixture
def more():
    with temporarily_registered(Fine=Fine, Fine32=Fine32, Whole=Whole):
        yield


@pytest.mark.parametrize("name", ["Fine-v0", "Fine32-v0"])
def test_actions_at_the_bounds_are_valid(name, more):
    environment = DescribedEnvironment(Description(name, frames=1, gray=False, size=None))
    environment.reset(0)
    bounds = environment.spec.action_bounds
    agent_spec = spec(environment=name, action_bounds=bounds)
    for scores in ([[9.0, 9.0]], [[-9.0, -9.0]]):
        taken = choose(AgentOutput(torch.tensor(scores)), agent_spec, torch.Generator())
        environment.step(taken[0].tolist())  # the environment asserts that the action is valid
    np.testing.assert_allclose(bounds, [[-0.1, 0.1], [0.0, 0.4]], rtol=1e-6)


def test_bounds_in_a_zip_match_those_of_the_environment(more, tmp_path):
    A2C("CnnPolicy", gymnasium.make("Fine32-v0"), seed=0).save(tmp_path / "agent.zip")
    interface = DescribedEnvironment(Description("Fine32-v0", frames=1, gray=False, size=None)).spec.interface
    assert load_agent(str(tmp_path / "agent.zip"), environment=interface).spec.continuous


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (Description("Whole-v0"), "floating point"),
        (Description("Sliding-v0", actions=("V", "w")), "critic's"),
        (Description("Sliding-v0", actions=("go", "Go")), "capitals"),
    ],
)
def test_ambiguous_action_names_are_refused(description, message, more):
    with pytest.raises(ConfigError, match=message):
        DescribedEnvironment(description)


def test_action_names_take_precedence_over_targets_and_ignore_case():
    agent_spec = spec(action_names=("t", "light"))
    assert resolve_target("t+", agent_spec, 1.0).slug == "action-t-up"
    assert resolve_target("LIGHT-", agent_spec, 1.0).slug == "action-light-down"
    assert resolve_target("V+", agent_spec, 1.0).slug == "v-plus"
    with pytest.raises(UnknownTargetError, match=r"did you mean light\+"):
        resolve_target("liht+", agent_spec, 1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"action_bounds": None},
        {"scores_are": "q-values"},
        {"acts": "sampled"},
        {"action_bounds": BOUNDS[:1]},
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(settings):
    with pytest.raises(MismatchError, match="fit each other"):
        spec(**settings)


def test_actions_are_the_same_in_a_dimension_without_range():
    scores = torch.tensor([[0.3, 0.0]])
    assert same_action(scores, scores, ((0.0, 1.0), (0.0, 0.0))).all()


def test_the_frechet_distance_works_for_one_feature():
    one, other = torch.randn(40, 1, generator=torch.Generator().manual_seed(0)), torch.randn(40, 1)
    assert frechet(one, one) == pytest.approx(0.0, abs=1e-6) and frechet(one, other + 5.0) > 3.0


def test_discrete_actions_may_be_numpy_integers():
    atari = environment_factory("pong")()
    atari.reset(0)
    atari.step(np.int64(3))
    for wrong in ([0.5], 6, -1):
        with pytest.raises(ConfigError, match="a number from 0 to 5"):
            atari.step(wrong)


def test_bars_are_scaled_for_each_dimension():
    agent = AgentRecord("a", "E", ("steer", "angle"), (3, 8, 8), "means", "greedy", "0", ((-1.0, 1.0), (0.0, 180.0)))
    scores = np.array([[0.5, 90.0], [-0.25, 0.0]])
    bars = score_bars(("steer", "angle"), [scores[0]], bar_axes(scores, agent), agent)
    assert [row.bars[0].width for row in bars.rows] == [25.0, 25.0] and bars.zero == 50.0
    assert [row.bars[0].text for row in bars.rows] == ["0.50", "90"]


class Pusher(nn.Module):
    """Means that depend on the brightness of the two halves of the image, and a value."""

    def forward(self, observation):
        halves = observation.mean(dim=(1, 2)).unflatten(1, (2, -1)).mean(dim=2) / 255
        return halves[:, :2] - 0.02, halves.sum(dim=1)


def test_saliency_covers_all_dimensions_of_the_action():
    agent = agent_from_network(Pusher(), DescribedEnvironment(SLIDING).spec.interface, name="pusher")
    state = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    found = saliency(Perceiver(agent, colour_observation), state)
    expected = torch.full_like(found, 1 / 255 / (3 * 48 * 20))
    ranges = torch.tensor([high - low for low, high in BOUNDS])
    expected = (expected.unflatten(2, (2, -1)) / ranges[:, None, None]).flatten(2, 3)
    torch.testing.assert_close(found, expected)


AGENT = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.features = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), nn.Flatten())
        self.actor, self.critic = nn.Linear(120, 2), nn.Linear(120, 1)

    def forward(self, observation):
        features = self.features(observation / 255)
        return self.actor(features), self.critic(features)

def agent():
    return Network()
"""
TOML = 'id = "Sliding-v0"\nframes = 1\ngray = false\nactions = ["push", "light"]\n'


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("continuous")
    (folder / "agent.py").write_text(AGENT)
    (folder / "env.toml").write_text(TOML)
    command = [
        *("run", "--agent", f"{folder / 'agent.py'}:agent", "--environment", str(folder / "env.toml")),
        *("--output", str(folder / "run"), "--collect.frames", "240", "--collect.streams", "2"),
        *("--train.steps", "6", "--train.recipe", "fast-gaussian", "--train.batch-size", "8", "--train.workers", "1"),
        *("--synthesize.states", "3", "--synthesize.steps", "5", "--synthesize.candidates", "16"),
        *("--goggles.episodes", "2", "--goggles.longest", "40", "--fidelity.reconstructions", "3"),
        *("--ground.states", "1", "--ground.trials", "20", "--ground.steps", "8", "--confirm.controls", "4"),
        *("--confirm.rollouts", "2", "--confirm.first", "2", "--confirm.horizon", "10", "--confirm.holds", "3"),
        *("--confirm.losing", "2", "--confirm.probes", "1"),
    ]
    assert main(command) == 0
    return folder


def test_a_whole_run(finished):
    page = (finished / "run" / "report.html").read_text()
    for words in ("States that call for much push", "States that call for little light", "States the critic dreads"):
        assert words in page
    assert "Q-value" not in page and "mean for each dimension of the action" in page
    run = load_run(finished / "run")
    assert run.fidelity is not None and 0 <= run.fidelity.same_action <= 1
    assert run.goggles is not None and run.goggles.agent.interval.mean < 0, "the reward is negative in every step"


def test_actions_are_stored_and_replayed(finished):
    dataset = StateDataset.open(finished / "run" / "collect")
    assert dataset.action.shape == (240, 2) and dataset.action.dtype == np.float32
    assert dataset.agent.action_bounds == BOUNDS == dataset.environment.action_bounds
    greedy = np.clip(dataset.scores, *np.array(BOUNDS, np.float32).T)
    np.testing.assert_array_equal((dataset.action != greedy).any(axis=1), dataset.explored)
    assert 0.03 < dataset.explored.mean() < 0.2
    at, snapshot = dataset.snapshot_before(119)
    environment = environment_factory(Description(**{**SLIDING.__dict__}))()
    step = environment.restore(snapshot)
    for index in range(at, 119):
        np.testing.assert_array_equal(step.frame, dataset.newest(np.array([index]))[0])
        over = dataset.terminated[index]
        step = environment.step(dataset.action[index].tolist())
        step = environment.reset() if over else step


def test_outputs_in_different_units_have_equal_weight(finished):
    dataset = StateDataset.open(finished / "run" / "collect")
    statistics = measure(dataset, np.arange(len(dataset)), np.random.default_rng(0))
    variance = recorded_output_vectors(dataset).var(dim=0, correction=0)
    least = torch.tensor([(0.01 * (high - low)) ** 2 for low, high in BOUNDS] + [1e-6])
    torch.testing.assert_close(statistics.output_variance, variance.maximum(least))
    assert statistics.output_variance[0] != statistics.output_variance[1]


def test_check_up_passes(finished):
    config = CheckConfig(f"{finished / 'agent.py'}:agent", str(finished / "env.toml"), score=-1e3, episodes=2, longest=20)
    found = {finding.name: finding for finding in check_up(config)}
    assert "on average push" in found["distinguishes states"].seen
    assert all(finding.passed for finding in found.values()), [f for f in found.values() if not f.passed]


def test_report_and_agreement_compare_actions_in_the_same_way(finished):
    run = load_run(finished / "run")
    assert run.agent.continuous and run.reconstructions is not None
    cards = reconstruction_cards(run.reconstructions, run, Detail(1, 0, 20))
    same = same_action(
        torch.from_numpy(run.reconstructions.scores_real), torch.from_numpy(run.reconstructions.scores_reconstructed), BOUNDS
    )
    assert [card.agrees for card in cards] == same.tolist()
    assert all(row.bars[0].chosen for card in cards for row in card.bars.rows), "all dimensions are part of the action"


def test_a_target_of_discrete_actions_is_refused_before_the_run(finished, tmp_path, capsys):
    command = ["run", "--agent", f"{finished / 'agent.py'}:agent", "--environment", str(finished / "env.toml")]
    assert main([*command, "--output", str(tmp_path / "run"), "--targets", "T-"]) == 2
    assert "its actions are continuous" in capsys.readouterr().err
    one = load_subject(RunConfig(agent=command[2], environment=command[4]))
    assert one.agent.spec.action_bounds == BOUNDS


def zoo_folder(folder: Path, **config) -> Path:
    """Writes the folder of a training with RL Zoo, whose agent takes two gray frames of 40x36."""
    (folder / "Sliding-v0").mkdir(parents=True)
    environment = DescribedEnvironment(Description("Sliding-v0", frames=2, size=(40, 36), frame_skip=3))
    space = gymnasium.spaces.Box(0, 255, environment.spec.observation_shape, np.uint8)

    class Seen(gymnasium.Env):
        observation_space, action_space = space, Sliding.action_space

    A2C("CnnPolicy", Seen(), seed=0).save(folder / "Sliding-v0.zip")
    wrappers = [
        {"rl_zoo3.wrappers.FrameSkip": {"skip": 3}},
        {"rl_zoo3.wrappers.YAMLCompatResizeObservation": {"shape": [40, 36]}},
        {"gymnasium.wrappers.gray_scale_observation.GrayScaleObservation": {"keep_dim": True}},
    ]
    settings = {"env_wrapper": wrappers, "frame_stack": 2, "normalize": "{'norm_obs': False, 'norm_reward': True}"}
    arguments = {"env": config.pop("env", "Sliding-v0"), "env_kwargs": config.pop("make", None)}
    (folder / "Sliding-v0" / "args.yml").write_text(yaml.dump(arguments))
    (folder / "Sliding-v0" / "config.yml").write_text(yaml.dump(settings | config))
    return folder


def test_a_training_folder_gives_the_preprocessing(tmp_path):
    agent, factory, _ = load_pair(str(zoo_folder(tmp_path / "Sliding-v0_1")), None, "cpu")
    environment = factory()
    assert environment.spec.observation_shape == agent.spec.observation_shape == (2, 40, 36)
    assert environment.spec.preprocessing["frame_skip"] == 3 and agent.spec.continuous
    wrapped = gymnasium.wrappers.ResizeObservation(gymnasium.make("Sliding-v0"), (40, 36))
    step = environment.reset(5)
    theirs, _ = wrapped.reset(seed=int(np.random.default_rng(5).integers(2**31)))
    np.testing.assert_array_equal(step.observation[-1], cv2.cvtColor(theirs, cv2.COLOR_RGB2GRAY))
    step = environment.step([0.5, 0.25])
    for _ in range(3):
        theirs, *_ = wrapped.step(np.array([0.5, 0.25], np.float32))
    np.testing.assert_array_equal(step.observation[-1], cv2.cvtColor(theirs, cv2.COLOR_RGB2GRAY))
    _, factory, _ = load_pair(str(tmp_path / "Sliding-v0_1"), "Sliding-v0", "cpu")
    assert factory().spec.preprocessing["frame_skip"] == 3, "the folder gives the preprocessing, the id does not"


def test_gray_frames_equal_those_of_current_gymnasium(tmp_path):
    wrappers = [
        {"rl_zoo3.wrappers.YAMLCompatResizeObservation": {"shape": [40, 36]}},
        {"gymnasium.wrappers.transform_observation.GrayscaleObservation": {"keep_dim": True}},
    ]
    _, factory, _ = load_pair(str(zoo_folder(tmp_path / "Sliding-v0_1", env_wrapper=wrappers)), None, "cpu")
    environment = factory()
    step = environment.reset(5)
    resized = gymnasium.wrappers.ResizeObservation(gymnasium.make("Sliding-v0"), (40, 36))
    theirs, _ = gymnasium.wrappers.GrayscaleObservation(resized).reset(seed=int(np.random.default_rng(5).integers(2**31)))
    np.testing.assert_array_equal(step.observation[-1], theirs)
    state = np.stack([np.zeros_like(step.frame), step.frame])[None]
    difference = environment.observe(as_state(state)).numpy()[0, -1] - step.observation[-1]
    assert abs(difference).max() < 0.502, "the environment rounds to integers"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"env_wrapper": ["mine.Wrapper"]}, "mine.Wrapper"),
        ({"env_wrapper": [{"rl_zoo3.wrappers.FrameSkip": {"skip": 2, "odd": 1}}]}, "odd"),
        ({"env_wrapper": [{"rl_zoo3.wrappers.FrameSkip": {"skip": 2}}] * 2}, "once more"),
        ({"env_wrapper": [{"rl_zoo3.wrappers.FrameSkip": 2}]}, "arguments by name"),
        ({"env_wrapper": [{"rl_zoo3.wrappers.FrameSkip": {"skip": 2.5}}]}, "whole numbers"),
        ({"env_wrapper": 3}, "names of wrappers"),
        ({"env_wrapper": ["gymnasium.wrappers.RescaleObservation"]}, "RescaleObservation"),
        ({"env": "antigravity:Sliding-v0"}, "without a module"),
        ({"vec_env_wrapper": "mine.Around"}, "mine.Around"),
        ({"normalize": True}, "channels come first"),
        ({"make": {"colour": 1}}, "cannot make"),
    ],
)
def test_unsupported_preprocessing_is_refused(config, message, tmp_path):
    with pytest.raises(WeakspotError, match=message):
        load_pair(str(zoo_folder(tmp_path / "Sliding-v0_1", **config)), None, "cpu")

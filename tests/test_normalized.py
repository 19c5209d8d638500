"""Observations normalised by VecNormalize: the same as in stable-baselines3, and read without running the pickle."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from canary import Canary
from noise import Noise, images
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize, VecTransposeImage

from weakspot.agents.base import Perceiver
from weakspot.agents.build import agent_from_network
from weakspot.agents.formats.normalized import Normalized, Statistics, read_statistics
from weakspot.agents.formats.sb3 import statistics_of
from weakspot.agents.load import load_agent
from weakspot.agents.module import ModuleAgent
from weakspot.checkup import LAST_BEFORE_PLAY, CheckConfig, check_up
from weakspot.errors import WeightsError
from weakspot.interface import Interface
from weakspot.saliency.gradient import plain_gradient
from weakspot.saliency.guided import guided_gradient

torch.set_num_threads(1)
PONG = "PongNoFrameskip-v4"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[PPO, VecNormalize, Path]:
    """A PPO trained on Pong behind VecNormalize, the VecNormalize, and the saved zip."""
    folder = tmp_path_factory.mktemp("normalised")
    normalizer = VecNormalize(VecTransposeImage(VecFrameStack(make_atari_env(PONG, n_envs=1, seed=0), 4)))
    model = PPO(
        "CnnPolicy", normalizer, policy_kwargs={"normalize_images": False}, n_steps=64, batch_size=32, n_epochs=1, seed=0
    )
    model.learn(128)
    model.save(folder / PONG)
    normalizer.save(str(folder / "vecnormalize.pkl"))
    return model, normalizer, folder / f"{PONG}.zip"


def test_an_agent_gives_the_same_scores_as_behind_vec_normalize(trained):
    model, normalizer, path = trained
    observations = torch.cat([images(), torch.from_numpy(normalizer.get_original_obs()).float()])
    normalized = torch.from_numpy(normalizer.normalize_obs(observations.numpy().astype(np.uint8)))
    assert normalized.abs().max() == normalizer.clip_obs, "some pixels never change, and reach the clip"
    with torch.no_grad():
        theirs = model.policy.get_distribution(normalized).distribution
        ours = load_agent(str(path))(observations)
    assert isinstance(theirs, torch.distributions.Categorical)
    torch.testing.assert_close(ours.scores, theirs.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.value, model.policy.predict_values(normalized)[:, 0].detach(), atol=1e-5, rtol=1e-4)


def test_the_statistics_equal_those_of_vec_normalize(trained):
    _, normalizer, path = trained
    statistics = read_statistics(path.with_name("vecnormalize.pkl"))
    assert statistics is not None
    assert isinstance(normalizer.obs_rms, RunningMeanStd)
    np.testing.assert_array_equal(statistics.mean, normalizer.obs_rms.mean)
    np.testing.assert_array_equal(statistics.variance, normalizer.obs_rms.var)
    assert (statistics.epsilon, statistics.clip) == (normalizer.epsilon, normalizer.clip_obs)


def test_check_up_compares_it_with_the_framework(trained):
    _, _, path = trained
    findings = {}
    for finding in check_up(CheckConfig(agent=str(path), trust=True, episodes=2, longest=4)):
        findings[finding.name] = finding
        if finding.name == LAST_BEFORE_PLAY:
            break
    assert findings["acts like stable-baselines3"].passed, findings
    assert findings[LAST_BEFORE_PLAY].passed, findings


def linear_agent(statistics: Statistics) -> ModuleAgent:
    network = Normalized(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)), statistics)
    return agent_from_network(network, Interface("Other-v0", ("a", "b"), (1, 1, 2)), name="linear")


def test_guided_backpropagation_treats_the_normalisation_as_linear_and_clipped_pixels_get_no_gradient():
    agent = linear_agent(Statistics(np.zeros((1, 1, 2)), np.array([[[1e4, 1.0]]]), 1e-8, 10.0))
    perceive = Perceiver(agent, lambda state: 255.0 * state)
    state = torch.full((1, 1, 1, 2), 50.2 / 255)
    guided = guided_gradient(perceive, state)
    torch.testing.assert_close(guided, plain_gradient(perceive, state))
    assert guided[0, 0, 0, 0] != 0 and guided[0, 0, 0, 1] == 0


def test_fractions_of_a_gray_level_are_rounded():
    """Otherwise a pixel that never changed in training would reach the clip."""
    agent = linear_agent(Statistics(np.full((1, 1, 2), 87.0), np.zeros((1, 1, 2)), 1e-8, 10.0))
    observation = torch.tensor([[[[87.0, 87.0]]]])
    torch.testing.assert_close(agent(observation + 0.3).scores, agent(observation).scores)
    assert not torch.allclose(agent(observation + 1.0).scores, agent(observation).scores)


def test_guided_backpropagation_passes_through_the_normalisation(trained):
    _, _, path = trained
    agent = load_agent(str(path))
    state = torch.rand(1, 4, 84, 84, generator=torch.Generator().manual_seed(0))
    assert guided_gradient(Perceiver(agent, lambda s: 255.0 * s), state).abs().sum() > 0


def save_changed(normalizer: VecNormalize, change: Callable[[VecNormalize], None], path: Path) -> None:
    """Saves a changed copy of a VecNormalize."""
    changed = pickle.loads(pickle.dumps(normalizer))
    change(changed)
    vars(changed).update(venv=None, class_attributes=None, returns=None)  # these are not saved
    changed.save(str(path))


@pytest.mark.parametrize("protocol", [4, 5])
def test_statistics_are_read_from_all_pickle_protocols(trained, tmp_path, protocol):
    _, normalizer, path = trained
    zipped = shutil.copy(path, tmp_path / path.name)
    (tmp_path / "vecnormalize.pkl").write_bytes(pickle.dumps(normalizer, protocol=protocol))
    torch.testing.assert_close(load_agent(str(zipped))(images()).scores, load_agent(str(path))(images()).scores)


@pytest.mark.parametrize("name", ["mean", "var"])
def test_statistics_are_part_of_the_fingerprint(trained, tmp_path, name):
    _, normalizer, path = trained
    before = load_agent(str(path)).spec.fingerprint
    other = shutil.copy(path, tmp_path / path.name)

    def changed(normalizer: VecNormalize) -> None:
        setattr(normalizer.obs_rms, name, getattr(normalizer.obs_rms, name) + 1.0)

    save_changed(normalizer, changed, tmp_path / "vec_normalize.pkl")
    assert load_agent(str(other)).spec.fingerprint != before


def test_a_checkpoint_has_its_own_statistics(trained, tmp_path):
    _, _, path = trained
    shutil.copy(path, tmp_path / "rl_model_2000_steps.zip")
    statistics = shutil.copy(path.with_name("vecnormalize.pkl"), tmp_path / "rl_model_vecnormalize_2000_steps.pkl")
    shutil.copy(statistics, tmp_path / "vecnormalize.pkl")
    assert statistics_of(tmp_path / "rl_model_2000_steps.zip") == statistics
    statistics.unlink()
    with pytest.raises(WeightsError, match=r"rl_model_vecnormalize_2000_steps\.pkl"):
        load_agent(str(tmp_path / "rl_model_2000_steps.zip"), environment=PONG)


def test_no_code_in_the_pickle_is_run(trained, tmp_path):
    _, _, path = trained
    canary = tmp_path / "canary"
    zipped = shutil.copy(path, tmp_path / path.name)
    (tmp_path / "vecnormalize.pkl").write_bytes(pickle.dumps({"obs_rms": Canary(canary)}))
    with pytest.raises(WeightsError, match=r"vecnormalize\.pkl cannot be read"):
        load_agent(str(zipped))
    assert not canary.exists()


def test_an_agent_without_its_statistics_is_refused(trained, tmp_path):
    _, _, path = trained
    alone = shutil.copy(path, tmp_path / path.name)
    with pytest.raises(WeightsError, match="the statistics of the normalisation are not next to it"):
        load_agent(str(alone))


class ChannelsLast(Noise):
    """Noise images with channels last."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 1), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda normalizer: setattr(normalizer.obs_rms, "mean", normalizer.obs_rms.mean[:1]), "do not fit each other"),
        (
            lambda normalizer: setattr(normalizer.obs_rms, "var", -normalizer.obs_rms.var),
            "not finite, or do not fit each other",
        ),
        (lambda normalizer: setattr(normalizer.obs_rms, "mean", normalizer.obs_rms.mean * np.nan), "not finite"),
        (lambda normalizer: setattr(normalizer.obs_rms, "mean", normalizer.obs_rms.mean.astype(int)), "int64"),
        (lambda normalizer: setattr(normalizer, "clip_obs", 0.0), "clip_obs 0.0"),
        (lambda normalizer: setattr(normalizer, "obs_rms", {"picture": normalizer.obs_rms}), "cannot be read"),
    ],
)
def test_invalid_statistics_are_refused(trained, tmp_path, change, message):
    _, normalizer, path = trained
    zipped = shutil.copy(path, tmp_path / path.name)
    save_changed(normalizer, change, tmp_path / "vecnormalize.pkl")
    with pytest.raises(WeightsError, match=message):
        load_agent(str(zipped))


def test_statistics_of_other_observations_are_refused(trained, tmp_path):
    _, _, path = trained
    zipped = shutil.copy(path, tmp_path / path.name)
    VecNormalize(DummyVecEnv([ChannelsLast])).save(str(tmp_path / "vecnormalize.pkl"))
    with pytest.raises(WeightsError, match=r"\(84, 84, 1\) to -10 to 10, but the agent .* takes \(4, 84, 84\)"):
        load_agent(str(zipped))


class Unit(Noise):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (4, 84, 84), np.float32)


class Signed(Noise):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (4, 84, 84), np.float32)


class Floats(Noise):
    observation_space = gymnasium.spaces.Box(0.0, 255.0, (4, 84, 84), np.float32)


@pytest.mark.parametrize(
    ("kind", "normalised", "message"),
    [
        (Unit, False, "from 0 to 1, not 0 to 255"),
        (Signed, False, "from -1 to 1, as VecNormalize gives them"),
        (Signed, True, "takes .* from -1 to 1"),
        (Floats, True, "saw them from 0 to 255"),
    ],
)
def test_observations_in_another_range_are_refused(tmp_path, kind, normalised, message):
    """VecNormalize changes the observation space of byte images only."""
    normalizer = VecNormalize(DummyVecEnv([kind]), norm_obs=normalised)
    DQN("CnnPolicy", normalizer, buffer_size=10, policy_kwargs={"normalize_images": False}).save(tmp_path / PONG)
    normalizer.save(str(tmp_path / "vecnormalize.pkl"))
    with pytest.raises(WeightsError, match=message):
        load_agent(str(tmp_path / f"{PONG}.zip"))


def test_floating_point_observations_from_0_to_255_are_accepted(tmp_path):
    normalizer = VecNormalize(DummyVecEnv([Floats]), norm_obs=False)
    model = DQN("CnnPolicy", normalizer, buffer_size=10, policy_kwargs={"normalize_images": False})
    model.save(tmp_path / PONG)
    normalizer.save(str(tmp_path / "vecnormalize.pkl"))
    with torch.no_grad():
        theirs = model.q_net(images())
    torch.testing.assert_close(load_agent(str(tmp_path / f"{PONG}.zip"))(images()).scores, theirs)


@pytest.mark.parametrize(
    ("kwargs", "message"), [({}, "NatureCNN only with images"), ({"normalize_images": False}, "Kernel size")]
)
def test_rl_zoo_cannot_train_on_normalised_images(kwargs, message):
    """RL Zoo normalises first, then stacks; stable-baselines3 moves the channels to the front for byte images only.  So the
    agents that are refused here do not exist."""
    normalizer = VecFrameStack(VecNormalize(make_atari_env(PONG, n_envs=1, seed=0)), 4)
    with pytest.raises((AssertionError, RuntimeError), match=message):
        PPO("CnnPolicy", normalizer, policy_kwargs=kwargs)

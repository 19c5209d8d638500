"""Checks of an agent: each typical problem is built into an agent, and must be detected and named."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import takewhile

import numpy as np
import pytest
import torch
from noise import Noise
from sb3_contrib import QRDQN
from stable_baselines3 import A2C, DQN, PPO
from torch import nn

from weakspot.agents.module import ModuleAgent
from weakspot.analysis.goggles import play_episodes
from weakspot.checkup import CheckConfig, check_up, checks, playing
from weakspot.checkup.suspects import suspects
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.errors import ConfigError

torch.set_num_threads(1)

NETWORKS = """
import torch
from torch import nn
from weakspot.agents.load import load_agent
from weakspot.agents.module import ModuleAgent

class Transformed(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.network, self.change = load_agent("pong-double-dqn").module, change

    def forward(self, observation):
        return self.network(self.change(observation))

def divided_twice():
    return Transformed(lambda x: x / 255)

def darker():
    return Transformed(lambda x: x * 0.5)

def newest_first():
    return Transformed(lambda x: x.flip(1))

class Small(nn.Module):
    def __init__(self, before=lambda x: x, after=lambda x: x):
        super().__init__()
        torch.manual_seed(0)
        self.before, self.after = before, after
        self.first, self.last, self.relu = nn.Conv2d(4, 4, 8, stride=8), nn.Linear(400, 6), nn.ReLU()

    def forward(self, x):
        return self.after(self.last(self.relu(self.first(self.before(x / 255))).flatten(1)))

def sound():
    return Small()

def dropping():
    return Small(before=lambda x: nn.functional.dropout(x, 0.5, training=True))

def batching():
    return Small(before=lambda x: nn.functional.batch_norm(x, None, None, training=True))

def blind():
    return Small(before=lambda x: torch.cat([x[:, :1] * 0, x[:, 1:3], x[:, :1] * 0], dim=1))

def constant():
    return Small(after=lambda x: x * 1e-9 + 1)

def tanh():
    return Small(after=torch.tanh)

def five():
    return nn.Sequential(nn.Flatten(), nn.Linear(4 * 84 * 84, 5))
"""


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    path = tmp_path_factory.mktemp("agents") / "networks.py"
    path.write_text(NETWORKS)
    return path


def findings(networks, name, **settings):
    settings = {"episodes": 2, "longest": 3, "most": 2} | settings
    config = CheckConfig(agent=f"{networks}:{name}", environment="pong", **settings)
    return {finding.name: finding for finding in check_up(config)}


def failed(found):
    return {name for name, finding in found.items() if finding.passed is False and name != "plays as expected"}


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("dropping", "loads and fits its environment", "eval"),
        ("batching", "does not depend on the batch", "batch normalisation"),
        ("blind", "uses every frame", "frame 1, 4"),
        ("constant", "distinguishes states", "0 to 255"),
        ("tanh", "has saliency", "ReLU"),
    ],
)
def test_problems_are_detected_and_explained(networks, name, check, words):
    found = findings(networks, name)
    assert check in failed(found)
    assert words in found[check].todo


def test_sound_agent_passes_but_must_score_better_than_random_play(networks):
    found = findings(networks, "sound")
    assert not failed(found)
    assert not found["plays as expected"].passed, "nobody scores in three decisions"
    assert findings(networks, "sound", score=0.0)["plays as expected"].passed


def test_agent_that_does_not_fit_its_environment_is_not_played(networks):
    found = findings(networks, "five")
    assert list(found) == ["loads and fits its environment"] and "5 actions" in found["loads and fits its environment"].seen
    assert list(findings(networks, "missing")) == ["loads and fits its environment"]


@pytest.mark.parametrize(
    ("name", "better_input"),
    [("divided_twice", "observations 255 times as large"), ("newest_first", "the newest frame first")],
)
def test_right_preprocessing_is_suggested_for_wrong_observations(networks, name, better_input, monkeypatch):
    monkeypatch.setattr(checks, "suspects", lambda environment: ())
    found = findings(networks, name, episodes=3, longest=300)
    assert failed(found) == {f"plays no better with {better_input}"}
    assert found[f"plays no better with {better_input}"].todo


def test_the_interpolation_with_the_best_score_is_suggested():
    """One of the ways to make frames scores more, in the short games and in the others."""
    others = playing.candidates(
        None, playing.Player(lambda: None, lambda *_: None), (), suspects(AtariEnvironment(AtariConfig("pong")))
    )
    assert [other.name for other in others][:2] == ["area interpolation and the last frame", LINEAR]
    step = others[1].player.factory().reset(0)
    assert step.observation.shape == (4, 84, 84)

    def play(agent, factory, config, *rest):
        is_linear = factory is not None and factory == others[1].player.factory
        random = np.random.default_rng(config.seed).standard_normal(config.episodes)
        return playing.Played(random + (300.0 if is_linear else 28.0 * (config.epsilon == 0)), np.zeros(0), 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(playing, "play_episodes", play)
        player = playing.Player(None, lambda *_: None)
        found = {f.name: f for f in playing.check_playing(None, player, others, CheckConfig(episodes=4))}
    assert found["plays as expected"].passed, "it beats random play"
    assert failed(found) == {f"plays no better with {LINEAR}"}
    assert 'resize = "linear" and maximum = 2' in found[f"plays no better with {LINEAR}"].todo


LINEAR = "linear interpolation and the maximum over two frames"


def test_without_an_expected_score_the_verdict_says_what_it_compared_with(networks, monkeypatch):
    monkeypatch.setattr(checks, "suspects", lambda environment: ())
    found = findings(networks, "darker")
    assert "compared with random play alone" in found["plays as expected"].seen
    assert "plays no better with observations twice as bright" in found, "variants are tried all the same"


def test_games_are_added_until_it_can_tell(networks, monkeypatch):
    """787 against -31 in games that differ a lot: an agent is not called bad because of too few games."""
    games = []

    def noisy(name, agent, config):
        games.append((name, config.seed))
        generator = np.random.default_rng(config.seed)
        mean = 0.0 if name == "random play" else 800.0
        return playing.Played(mean + 900 * generator.standard_normal(config.episodes) * (mean > 0), np.zeros(0), 0)

    config = CheckConfig(episodes=3, most=24, seed=4)
    (finding,) = playing.check_playing(None, noisy, (), config)
    assert finding.passed and len(games) > 2, games
    assert len({seed for name, seed in games if name == "the agent"}) == len(games) / 2, "each batch has other games"
    (finding,) = playing.check_playing(None, noisy, (), replace(config, most=3))
    assert finding.passed is None and "not enough games to tell: raise --episodes" in finding.todo


def test_truncated_games_are_named_as_a_cause_of_a_low_score(networks):
    assert "--longest above 3" in findings(networks, "sound", score=1000.0)["plays as expected"].todo


def test_agent_plays_without_random_actions(networks, monkeypatch):
    """The expected score was measured without random actions; random play consists of them."""
    shares = []

    def recorded(agent, factory, config, *rest):
        shares.append(config.epsilon)
        return play_episodes(agent, factory, config, *rest)

    monkeypatch.setattr(playing, "play_episodes", recorded)
    findings(networks, "sound", score=0.0)
    assert shares == [0.0, 1.0]


def check_agent(*arguments):
    command = [sys.executable, "-m", "weakspot.cli", "check-agent", "--episodes", "2", "--longest", "400", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command(networks):
    process = check_agent("--score", "1")
    assert process.returncode == 0 and "ok    plays as expected" in process.stdout, process.stdout + process.stderr
    process = check_agent("--agent", f"{networks}:blind", "--environment", "pong", "--longest", "5")
    assert process.returncode == 2 and "FAIL  uses every frame" in process.stdout and "to do" in process.stdout


def test_invalid_settings_are_refused():
    with pytest.raises(ConfigError, match="1 episodes"):
        CheckConfig(episodes=1)


class Negated(nn.Module):
    """A network with the negated scores of another one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, observation):
        output = self.network(observation)
        return -output if isinstance(output, torch.Tensor) else (-output[0], output[1])


@pytest.mark.parametrize("kind", [DQN, QRDQN, A2C, PPO], ids=lambda kind: kind.__name__)
def test_framework_agents_are_compared_with_their_own_predict(kind, tmp_path, monkeypatch):
    model_settings = {PPO: {"n_steps": 4, "batch_size": 4}, A2C: {}}.get(kind, {"buffer_size": 10})
    model = kind("CnnPolicy", Noise(), seed=1, **model_settings)
    if kind in (DQN, QRDQN):
        model.buffer_size = 1_000_000_000  # as in real trainings, and larger than any memory
    model.save(tmp_path / "agent.zip")
    config = CheckConfig(str(tmp_path / "agent.zip"), "pong", trust=True, episodes=2, longest=5, score=-1e3)
    name = "acts like stable-baselines3"
    found = next(finding for finding in check_up(config) if finding.name == name)
    assert found.passed and "in 64 of 64 states" in found.seen
    untrusted = takewhile(lambda finding: finding.name != "has saliency", check_up(replace(config, trust=False)))
    assert name not in {finding.name for finding in untrusted}, "the check would run pickled code"
    load = checks.load_pair

    def negated(*arguments, **settings):
        agent, factory, environment = load(*arguments, **settings)
        return ModuleAgent(Negated(agent.module), agent.spec), factory, environment

    monkeypatch.setattr(checks, "load_pair", negated)
    assert not next(finding for finding in check_up(config) if finding.name == name).passed

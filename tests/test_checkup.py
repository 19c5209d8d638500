"""Checks of an agent: each typical problem is built into an agent, and must be detected and named."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from itertools import takewhile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from noise import Noise
from sb3_contrib import QRDQN
from stable_baselines3 import A2C, DQN, PPO
from torch import nn

from weakspot.agents.module import ModuleAgent
from weakspot.analysis.goggles import play_episodes
from weakspot.checkup import CheckConfig, candidate, check_up, checks
from weakspot.checkup.playing import _verdict
from weakspot.checkup.search import LONGEST_WITHOUT_SCORES, PLAYS_BETTER, TRIES, Runner, _best, _compared
from weakspot.checkup.suspects import suspects
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.make import environment_factory
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
    settings = {"episodes": 2, "longest": 3, "most": 2, "score": -1e3} | settings
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


def test_sound_agent_passes_but_must_score_better_than_random_play(networks, monkeypatch):
    monkeypatch.setattr(checks, "suspects", lambda environment: ())
    found = findings(networks, "sound", score=None)
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
    found = findings(networks, name, episodes=5, longest=300, score=None)
    assert failed(found) == {f"plays better with {better_input}"}
    assert found[f"plays better with {better_input}"].todo
    hint = findings(networks, name, episodes=3, longest=300, score=None)
    assert not failed(hint) and hint[f"plays better with {better_input}"].passed is None
    assert "too few games to tell" in hint[f"plays better with {better_input}"].seen


NO_CROP = "nothing cut off and nothing added"
BRIGHTER_HALF = """
import torch
from torch import nn

class Brighter(nn.Module):
    def forward(self, x):
        return torch.stack([half.mean(dim=(1, 2)) for half in x[:, -1].split(42, dim=2)], dim=1)

class Always(nn.Module):
    def forward(self, x):
        first = x.mean(dim=(1, 2, 3))
        return torch.stack([first * 0, first + 1], dim=1)
"""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """A folder with agents for the environments of ``score_worlds``, and descriptions of these."""
    folder = tmp_path_factory.mktemp("worlds")
    (folder / "agents.py").write_text(BRIGHTER_HALF)
    for name, resize in (("blocks", "area"), ("right", "nearest")):
        lines = ('id = "score_worlds:Blocks-v0"', "frames = 1", "size = [84, 84]", f'resize = "{resize}"')
        (folder / f"{name}.toml").write_text("\n".join(lines))
    (folder / "plain.toml").write_text((folder / "blocks.toml").read_text() + "\n[make]\nplain = 0.8\n")
    return folder


def in_world(worlds, agent, environment, **settings):
    config = CheckConfig(f"{worlds}/agents.py:{agent}", environment, saliency="gradient", **settings)
    return list(check_up(config))


@pytest.mark.parametrize("score", [None, 40.0])
def test_the_interpolation_with_the_best_score_is_named(worlds, score):
    found = in_world(worlds, "Brighter", str(worlds / "blocks.toml"), score=score)
    (named,) = [f for f in found if f.name.startswith(PLAYS_BETTER)]
    assert named.name == "plays better with nearest interpolation" and named.equals == ()
    assert 'write resize = "nearest" into the TOML file' in named.todo
    assert named.seen.startswith("39") and ", 0" in named.seen, "right in nearly all steps, and in none without the change"
    alike = next(f for f in found if f.name == "acts the same with other changes")
    assert "linear interpolation" in alike.seen and "red as gray" in alike.seen, "no game could tell these apart"
    assert "rows and columns exchanged" not in alike.seen


def test_a_clearly_better_interpolation_is_named_though_random_play_is_beaten(worlds):
    found = in_world(worlds, "Brighter", str(worlds / "plain.toml"), episodes=6)
    scored = next(f for f in found if f.name == "plays as expected")
    assert scored.passed and "compared with random play alone" in scored.seen
    (named,) = [f for f in found if f.passed is False]
    assert named.name == "plays better with nearest interpolation"
    assert named.seen.startswith("40 on average in 6 longer games"), "more than four, since it is clearly better in these"
    assert not any("gray" in f.name or "gray" in f.seen for f in found), "what is rarely wrong is not tried"


def test_changes_are_not_played_if_the_expected_score_is_reached(worlds):
    found = in_world(worlds, "Brighter", str(worlds / "right.toml"), score=40.0)
    assert found[-1].name == "plays as expected" and found[-1].passed


def test_a_fine_agent_is_not_told_to_change_anything(worlds):
    found = in_world(worlds, "Brighter", str(worlds / "right.toml"))
    assert found[-1].name == "acts the same with other changes", "its frames are tried all the same"
    assert all(f.passed for f in found)


@pytest.mark.parametrize("game", ["pong", "PongDeterministic-v4"])
def test_suspects_of_a_game_are_described_by_their_todo(game, tmp_path):
    """The TOML file that a finding tells to write makes the frames with which the agent played better."""
    environment = AtariEnvironment(AtariConfig(game))
    tried = suspects(environment)
    assert len({suspect.name for suspect in tried}) == len(tried) > 20
    for suspect in tried:
        lines = suspect.todo.removeprefix("describe its environment in a TOML file, whose lines are ")
        (tmp_path / "game.toml").write_text(re.sub(r"(?: and |, )(?=[a-z_]+ = )", "\n", lines))
        made, described = suspect.factory(), environment_factory(str(tmp_path / "game.toml"))()
        made.reset(3), described.reset(3)
        for action in (0, 2, 3):
            first, second = made.step(action), described.step(action)
        assert made.spec.observation_shape == environment.spec.observation_shape, suspect.name
        np.testing.assert_array_equal(first.observation, second.observation, err_msg=suspect.name)


@pytest.mark.parametrize(
    ("lines", "cure", "todo"),
    [
        ('resize = "nearest"', "area interpolation and the maximum over two frames", 'resize = "area"'),
        ("maximum = 1", "area interpolation and the maximum over two frames", "maximum = 2"),
        ('gray = "red"', "the emulator's gray", 'gray = "emulator"'),
        ("gray = [0.2, 0.7, 0.1]", "gray by Rec. 601", 'gray = "rec601" and rounding = "nearest"'),
        ("transposed = true", "rows and columns exchanged", "transposed = false"),
        ("crop = [34, 16, 0, 0]", NO_CROP, "crop = [0, 0, 0, 0]"),
        (
            "pad = [2, 2, 2, 2]\nsize = [80, 80]",
            NO_CROP,
            "size = [84, 84] and pad = [0, 0, 0, 0]",
        ),
        ("frame_skip = 2", "frame skip 4", "frame_skip = 4"),
        ("exact = true", "frames that are rounded between the steps", "exact = false"),
        ('rounding = "down"', "gray that is rounded nearest", 'rounding = "nearest"'),
    ],
)
def test_each_wrong_setting_of_a_game_is_among_the_suspects(lines, cure, todo, tmp_path):
    """Undone, the frames are those of the right description."""
    right, wrong = ("\n".join(['id = "pong"', *others]) for others in (["size = [84, 84]"], [lines]))
    if not re.search(r"\bsize", lines):
        wrong += "\nsize = [84, 84]"
    right += '\ngray = "emulator"' if "red" in lines else ""
    made = {}
    for name, text in (("right", right), ("wrong", wrong)):
        (tmp_path / f"{name}.toml").write_text(text)
        made[name] = environment_factory(str(tmp_path / f"{name}.toml"))()
    suspect = next(suspect for suspect in suspects(made["wrong"]) if suspect.name == cure)
    assert suspect.todo == f"write {todo} into the TOML file that describes its environment"
    assert suspect.pace == (0.5 if "skip" in lines else 1.0)
    mended = suspect.factory()
    for environment in (mended, made["right"]):
        environment.reset(3)
    for action in (0, 2, 3):
        first, second = mended.step(action), made["right"].step(action)
        np.testing.assert_array_equal(first.observation, second.observation)


def test_without_an_expected_score_the_verdict_says_what_it_compared_with(networks, monkeypatch):
    monkeypatch.setattr(checks, "suspects", lambda environment: ())
    found = findings(networks, "darker", score=None)
    assert "compared with random play alone" in found["plays as expected"].seen
    assert "plays no better with observations twice as bright" in found, "variants are tried all the same"


def test_games_are_added_until_it_can_tell(worlds):
    """Games whose scores differ a lot: an agent is not called bad because of too few games."""
    settings = {"environment": "score_worlds:Lottery-v0", "episodes": 3}
    scored = next(f for f in in_world(worlds, "Always", most=48, **settings) if f.name == "plays as expected")
    assert scored.passed and int(re.search(r"in (\d+) episodes", scored.seen)[1]) > 3
    for score in (None, 1500.0):
        found = in_world(worlds, "Always", most=3, score=score, **settings)
        scored = next(f for f in found if f.name == "plays as expected")
        assert scored.passed is None and "in 3 episodes" in scored.seen
        assert "not enough games to tell: raise --episodes" in scored.todo


def test_truncated_games_are_named_as_a_cause_of_a_low_score(networks, monkeypatch):
    monkeypatch.setattr(checks, "suspects", lambda environment: ())
    assert "--longest above 3" in findings(networks, "sound", score=1000.0)["plays as expected"].todo


def test_agent_plays_without_random_actions(networks, monkeypatch):
    """The expected score was measured without random actions; random play consists of them."""
    shares = []

    def recorded(agent, factory, config, *rest):
        shares.append(config.epsilon)
        return play_episodes(agent, factory, config, *rest)

    monkeypatch.setattr(candidate, "play_episodes", recorded)
    findings(networks, "sound", score=0.0)
    assert shares == [0.0, 1.0]


def check_agent(*arguments):
    command = [sys.executable, "-m", "weakspot.cli", "check-agent", "--episodes", "2", "--longest", "400", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command(networks):
    process = check_agent("--score", "1")
    assert process.returncode == 0 and "ok    plays as expected" in process.stdout, process.stdout + process.stderr
    process = check_agent("--agent", f"{networks}:blind", "--environment", "pong", "--longest", "5", "--score", "-99")
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


def test_an_interval_that_reaches_down_to_random_play_is_too_wide_to_tell():
    generator = np.random.default_rng(0)
    random = np.full(8, -20.6)
    half_of_them = np.array([-20.0, 18, -20, 18, -20, 19, -20, 18])
    assert _verdict(half_of_them, random, 18.0, generator) is None
    assert _verdict(np.tile(half_of_them, 8), np.tile(random, 8), 18.0, generator) is False
    assert _verdict(np.array([16.0, 19, 17, 18, 17, 19, 18, 16]), random, 18.0, generator) is True
    assert _verdict(half_of_them, random, None, generator) is True


class Scored:
    """Plays no games: the scores of a change follow from its name, the length of the games and their first seed."""

    def __init__(self, config, rule):
        self.config, self.rule, self.played = config, rule, []

    def __call__(self, name, agent, games):
        change, _, kind = name.rpartition(": ")[2].rpartition(", ")
        self.played.append((change, kind))
        whole = games.longest == self.config.longest
        last = games.seed == self.config.seed + self.config.most + 3 * self.config.episodes
        level = 0.0 if change == "the agent" else self.rule(change, whole, last)
        spread = np.random.default_rng(games.seed).normal(size=games.episodes)
        return SimpleNamespace(scores=level + spread, truncated=0)


def compared(rule, names):
    config = CheckConfig("agent", longest=LONGEST_WITHOUT_SCORES)
    player = Scored(config, rule)
    changes = [candidate.Candidate(name, None, player, "write it") for name in names]
    runners = [Runner([change], np.zeros(0), np.zeros(0)) for change in changes]
    return list(_compared(None, player, runners, config, None)), player


def test_a_change_that_helps_in_whole_games_only_is_named():
    rule = {"early": lambda whole: 0.0 if whole else 10.0, "late": lambda whole: 20.0 if whole else 1.0}
    found, _ = compared(lambda change, whole, last: rule[change](whole), ["early", "late"])
    assert [f.name for f in found] == ["plays better with late", "plays no better with early"]
    assert found[0].passed is False and found[0].seen.startswith("2") and " in 8 longer games" in found[0].seen
    assert " in 4 games, " in found[1].seen, "those of its last round"


def test_the_second_best_change_plays_if_the_best_one_was_lucky():
    found, player = compared(
        lambda change, whole, last: 20.0 if change == "right" else 0.0 if last else 30.0, ["lucky", "right"]
    )
    assert found[0].name == "plays better with right" and found[0].equals == ()
    assert [change for change, kind in player.played if kind == "longer games"] == ["the agent", "lucky", "right"]


def test_a_change_that_does_as_well_has_a_line_of_its_own():
    levels = {"luckier": 20.0, "as good": 20.0, "half as good": 10.0, "no better": 0.0}
    found, _ = compared(lambda change, whole, last: levels[change] + (not last and change == "luckier"), list(levels))
    assert [f.name for f in found[:2]] == ["plays better with luckier", "plays as well with as good"]
    assert found[0].equals == ("as good",) and "these games cannot tell it apart from as good" in found[0].todo
    assert found[1].passed is None and found[1].todo == "or: write it"
    assert found[1].seen == found[0].seen, "the scores of the same games"
    assert [f.name for f in found[2:]] == ["plays no better with half as good", "plays no better with no better"]


@pytest.mark.parametrize("repeats", [False, True])
def test_a_change_that_gained_nothing_in_the_first_games_plays_once_another_is_clearly_better(repeats):
    """Two short games of a fine agent often end alike; the right change is found in its whole games.  If all are alike, the
    first round is repeated with longer games."""
    config = CheckConfig("agent", longest=LONGEST_WITHOUT_SCORES)

    class Even(Scored):
        def __call__(self, name, agent, games):
            played = super().__call__(name, agent, games)
            nobody_scores = repeats and games.longest == 400
            return SimpleNamespace(scores=played.scores.round() * (not nobody_scores), truncated=0)

    player = Even(config, lambda change, whole, last: 20.0 if whole else float(change == "early"))
    runners = [
        Runner([candidate.Candidate(name, None, player, "write it")], np.zeros(0), np.zeros(0)) for name in ("early", "even")
    ]
    fine = np.random.default_rng(config.seed).normal(size=config.episodes).round()
    found = list(_compared(None, player, runners, config, fine))
    assert {f.name for f in found} == {"plays better with early", "plays as well with even"}
    first = [kind for change, kind in player.played if kind == "first games" and change == "the agent"]
    assert len(first) == 2 + repeats


def test_no_more_than_three_changes_are_tried_in_vain():
    found, player = compared(lambda change, whole, last: 0.0 if last else 30.0, ["a", "b", "c", "d", "e"])
    assert len(found) == 5 and all(f.passed for f in found)
    assert len([change for change, kind in player.played if kind == "longer games"]) == 1 + TRIES


def test_a_change_whose_interval_is_near_zero_is_still_named():
    """The intervals are drawn anew, and one that just excluded zero may include it then."""
    runner = Runner([], np.zeros(0), np.zeros(0))
    scores, base = np.array([1.0, -1, 1, 0, 0]), np.zeros(5)
    named = _best([(runner, scores)], base, np.random.default_rng(0))
    assert named.runner is runner and named.equals == []

"""Agents of the driving environments: trained, evaluated, and loaded from their files."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from weakspot.agents.formats.card import read_card
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.weights import read_weights
from weakspot.envs.driving.env import ACTIONS
from weakspot.envs.driving.env import PEDESTRIANS as BEHAVIOURS
from weakspot.envs.driving.registration import PEDESTRIANS as NAMES
from weakspot.errors import ConfigError, UnknownGameError
from weakspot.training.arenas import arena_of
from weakspot.training.config import A2CConfig, ACKTRConfig, DoubleDQNConfig
from weakspot.training.evaluate import evaluate, make_policy
from weakspot.training.finish import FINAL_SEEDS
from weakspot.training.train import train

GAME = "weakspot/DriveSemantic64-v0"
TINY = {
    "game": GAME,
    "steps": 120,
    "envs": 4,
    "n_steps": 5,
    "evaluate_every": 1_000,
    "evaluation_episodes": 2,
    "final_episodes": 2,
    "episode_decisions": 20,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train(A2CConfig(**TINY), folder, lambda line: None)


def test_training_writes_an_agent_that_reproduces_its_score(trained):
    card = read_card(read_weights(trained)[1], "agent")
    assert (card.name, card.environment) == ("drivesemantic64-a2c", GAME)
    assert card.actions == tuple(ACTIONS) and card.observation_shape == (40, 64, 64)
    assert card.preprocessing["channels"][5] == "car" and card.training["steps"] == 120
    agent = load_agent(str(trained))
    output = agent(torch.zeros(3, 40, 64, 64))
    assert output.scores.shape == (3, len(ACTIONS)) and output.value is not None
    act = make_policy("actor-critic", lambda observations: agent.module(observations.float())[0], "cpu", FINAL_SEEDS)
    assert evaluate(act, arena_of(GAME), 2, FINAL_SEEDS, 0.0, 20) == pytest.approx(card.score["scores"], abs=1e-6)


def test_scores_match_the_episodes():
    """Compared with episodes of full throttle, played in the environment itself."""
    import gymnasium

    scores = evaluate(lambda observations: np.ones(len(observations), np.int64), arena_of(GAME), 3, 50, 0.0, 200)
    for number, score in enumerate(scores):
        env, total = gymnasium.make(GAME), 0.0
        env.reset(seed=50 + number)
        for _ in range(200):
            _, reward, terminated, truncated, _ = env.step(1)
            total += float(reward)
            if terminated or truncated:
                break
        assert score == pytest.approx(total)


def test_actor_critics_support_all_driving_environments():
    for game, shape in ((GAME, (40, 64, 64)), ("weakspot/Drive96-v0", (96, 96, 96))):
        arena = arena_of(game)
        assert arena.observation_shape == shape
        envs = arena.make_training_env(2, 0)
        assert envs.reset().shape == (2, *shape)
        envs.close()
    assert ACKTRConfig(game=GAME).game == GAME


def test_double_dqn_is_refused():
    with pytest.raises(ConfigError, match="a2c or acktr"):
        DoubleDQNConfig(game=GAME)


def test_error_for_a_misspelt_environment_lists_the_environments():
    with pytest.raises(UnknownGameError, match="weakspot/DriveSemantic64-v0"):
        A2CConfig(game="weakspot/DriveSemantic64")


def test_training_environments_are_registered_where_nothing_else_was_imported():
    script = f"from weakspot.training.arenas import arena_of; arena_of({GAME!r}).make_evaluation_env(1)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize(("pedestrians", "share"), [("distracted", 1.0), ("0.3", 0.3), ("reasonable", 0.0)])
def test_pedestrians_of_a_training(pedestrians, share):
    arena = arena_of(GAME, pedestrians)
    assert arena.name == f"drivesemantic64-{pedestrians}" and arena.environment == GAME
    (world,) = (env.unwrapped.world for env in arena.make_evaluation_env(1).envs)
    assert world.config.behaviour.distraction == share


@pytest.mark.parametrize(
    "settings", [{"pedestrians": "rude"}, {"pedestrians": "1.5"}, {"game": "pong", "pedestrians": "none"}]
)
def test_invalid_pedestrians_raise(settings):
    with pytest.raises(ConfigError, match="pedestrians"):
        A2CConfig(**(TINY | settings))


def test_names_of_pedestrians_are_those_of_the_environment():
    assert tuple(NAMES) == tuple(BEHAVIOURS)

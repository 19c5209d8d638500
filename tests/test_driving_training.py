"""Agents of the driving environments: trained, evaluated, and loaded from their files."""

import numpy as np
import pytest
import torch

from weakspot.agents.formats.card import read_card
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.weights import read_weights
from weakspot.envs.driving.env import ACTIONS
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

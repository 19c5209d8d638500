"""Agents of the driving environments: trained, measured, and read again from their files."""

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
from weakspot.training.evaluate import evaluate, player
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


def test_an_agent_learns_to_drive_from_settings_to_file(trained):
    card = read_card(read_weights(trained)[1], "agent")
    assert (card.name, card.environment) == ("drivesemantic64-a2c", GAME)
    assert card.actions == tuple(ACTIONS) and card.observation_shape == (40, 64, 64)
    assert card.preprocessing["channels"][5] == "car" and card.training["steps"] == 120
    agent = load_agent(str(trained))
    answer = agent(torch.zeros(3, 40, 64, 64))
    assert answer.scores.shape == (3, len(ACTIONS)) and answer.value is not None
    act = player("actor-critic", lambda seen: agent.module(seen.float())[0], "cpu", FINAL_SEEDS)
    assert evaluate(act, arena_of(GAME), 2, FINAL_SEEDS, 0.0, 20) == pytest.approx(card.score["scores"], abs=1e-6)


def test_scores_are_those_of_the_episodes():
    """Full throttle, played by hand, against the measurement."""
    import gymnasium

    scores = evaluate(lambda seen: np.ones(len(seen), np.int64), arena_of(GAME), 3, 50, 0.0, 200)
    for number, score in enumerate(scores):
        env, total = gymnasium.make(GAME), 0.0
        env.reset(seed=50 + number)
        for _ in range(200):
            _, reward, terminated, truncated, _ = env.step(1)
            total += float(reward)
            if terminated or truncated:
                break
        assert score == pytest.approx(total)


def test_actor_critics_are_made_for_every_driving_environment():
    for game, shape in ((GAME, (40, 64, 64)), ("weakspot/Drive96-v0", (96, 96, 96))):
        arena = arena_of(game)
        assert arena.observation_shape == shape
        made = arena.trained_on(2, 0)
        assert made.reset().shape == (2, *shape)
        made.close()
    assert ACKTRConfig(game=GAME).game == GAME


def test_a_double_dqn_does_not_fit():
    with pytest.raises(ConfigError, match="a2c or acktr"):
        DoubleDQNConfig(game=GAME)


def test_a_misspelt_environment_is_told_those_there_are():
    with pytest.raises(UnknownGameError, match="weakspot/DriveSemantic64-v0"):
        A2CConfig(game="weakspot/DriveSemantic64")

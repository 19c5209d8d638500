"""Other ways to choose the states that rollouts start from, on a ring whose losses are known."""

from types import SimpleNamespace

import numpy as np
import pytest
from pits import AIR, Ring, play_rings

from lab import rivals
from weakspot.confirm.losses import rule_for
from weakspot.confirm.rollouts import Job, Roller
from weakspot.envs.pool import EnvironmentPool
from weakspot.errors import ConfigError
from weakspot.ground.play import started_player

FUZZERS = ("random testing", "MDPFuzz", "MDPFuzz, no coverage")


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    dataset, perceive = play_rings(tmp_path_factory.mktemp("rings"), epsilon=0.05)
    return SimpleNamespace(
        dataset=dataset, subject=SimpleNamespace(agent=perceive.agent), player=started_player(Ring(), dataset)
    )


@pytest.fixture(autouse=True)
def few_tests(monkeypatch):
    monkeypatch.setattr(rivals, "TESTS", 60)
    monkeypatch.setattr(rivals, "POOL", 10)
    monkeypatch.setattr(rivals, "PERTURBED", 2)
    monkeypatch.setattr(rivals, "BEFORE", 3)
    monkeypatch.setattr(rivals, "DIMENSIONS", 3)
    monkeypatch.setattr(rivals, "CLUSTERS", 3)


def losses(session, starts):
    """Which of the states the agent loses from."""
    dataset, agent = session.dataset, session.subject.agent
    rule = rule_for(dataset, None)
    with EnvironmentPool(Ring, Ring().spec, 8, 1) as pool:
        made = Roller(pool, [agent], 0.0, rule.is_loss).run([Job(start.snapshot, 0, 14) for start in starts])
    return np.array([rollout.lost for rollout in made])


@pytest.mark.parametrize("name", FUZZERS)
def test_fuzzers_find_states_before_losses(session, name):
    starts = rivals.RIVALS[name](session, seed=0)
    assert 3 <= len(starts) <= rivals.CHOSEN and not any(start.is_control for start in starts)
    assert losses(session, starts).mean() > 0.8, "the loss is three decisions away"
    again = rivals.RIVALS[name](session, seed=0)
    assert [start.route for start in again] == [start.route for start in starts]


def test_low_values_are_those_that_the_agent_expects_least_of(session):
    starts = rivals.low_values(session, seed=0)
    air = np.array([start.variables[AIR] for start in starts])
    everything = np.array([session.player.environment.restore(session.player.place(int(i))) is not None
                           and session.player.environment.read_variables()[AIR] for i in range(0, 1_000, 20)])  # fmt: skip
    assert air.mean() < everything.mean(), "its value grows with its air"


def test_highlights_are_apart(session):
    starts = rivals.highlights(session, seed=0)
    indices = np.array(sorted(start.route.start for start in starts))
    same = session.dataset.stream[indices[1:]] == session.dataset.stream[indices[:-1]]
    assert len(starts) >= 10 and (np.diff(indices)[same] >= 50).all()


def test_fuzzers_need_variables_and_discrete_actions(session):
    player = started_player(Ring(editable=False), session.dataset)
    bare = SimpleNamespace(dataset=session.dataset, subject=session.subject, player=player)
    with pytest.raises(ConfigError, match="without variables"):
        rivals.random_testing(bare, seed=0)

"""Planted weaknesses: what they change and what they leave, and how losses are attributed to them."""

from types import SimpleNamespace

import pytest
import torch
from pits import AIR, BOMB, PLACE, Diver, Ring, play_rings

from experiments import known_weaknesses
from lab import planted
from lab.attribution import Checker
from lab.confirming import Healthy, Hidden, Known, rank_of
from lab.planted import PLANTS, Box, blind, bright, dark, moving
from weakspot.agents.base import AgentOutput
from weakspot.agents.load import load_agent
from weakspot.artifacts.weaknesses import StartRecord
from weakspot.confirm.config import ConfirmConfig
from weakspot.envs.pool import EnvironmentPool
from weakspot.errors import ConfigError
from weakspot.ground.play import started_player

torch.set_num_threads(1)


def observations(count: int = 3) -> torch.Tensor:
    return torch.randint(256, (count, 4, 84, 84), generator=torch.Generator().manual_seed(0)).float()


def test_a_blind_agent_sees_all_but_the_box():
    seen, box = observations(), Box(10, 20, 30, 50)
    hidden = blind(box, 7.0, frames=3)(seen)
    assert (box.of(hidden)[:, :3] == 7).all() and torch.equal(hidden[:, 3], seen[:, 3])
    outside = ~box.mask()
    assert torch.equal(hidden[:, :, outside], seen[:, :, outside])
    only_dark = blind(box, 255.0, darker=60.0)(seen)
    changed = only_dark != seen
    assert torch.equal(changed, (seen < 60) & box.mask()) and changed.any()


def test_triggers_read_the_newest_frame():
    seen, box = torch.full((2, 4, 84, 84), 100.0), Box(10, 20, 30, 50)
    seen[0, -1, 15, 40] = 250.0
    seen[1, -1, 15, 60] = 250.0  # beside the box
    seen[1, 0, 15, 40] = 250.0  # in the oldest frame
    assert bright(box, 200.0)(seen).tolist() == [True, False]
    assert moving(box)(seen).tolist() == [True, True]
    assert dark(box, 101.0)(seen).tolist() == [True, True] and dark(box, 100.0)(seen).tolist() == [False, False]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_every_plant_is_an_agent_of_its_own(plant):
    environment = known_weaknesses.ENVIRONMENTS[plant.name.partition("_")[0]]
    agent, healthy = load_agent(plant.reference, environment=environment), load_agent(plant.healthy)
    assert agent.spec.action_names == healthy.spec.action_names
    assert agent.spec.fingerprint != healthy.spec.fingerprint
    seen = observations()
    own, usual = agent(seen).scores, healthy(seen).scores
    assert own.shape == usual.shape and not torch.equal(own, usual), "of noise, every plant sees or does something else"


def test_plants_have_different_fingerprints_although_they_share_networks():
    prints = [load_agent(p.reference, environment=known_weaknesses.ENVIRONMENTS[p.name.partition("_")[0]]) for p in PLANTS]
    assert len({agent.spec.fingerprint for agent in prints}) == len(PLANTS) >= 12
    assert len({plant.healthy for plant in PLANTS}) == 4


def test_actions_are_exchanged_in_the_situation_only():
    seen = torch.full((2, 4, 84, 84), 87.0)
    seen[0, -1, 2, 21] = 148.0  # the digit 1 of the other side
    agent = load_agent(f"{planted.__file__}:pong_reversed_after_a_loss", environment="PongNoFrameskip-v4")
    own, usual = agent(seen).scores, load_agent(planted.PONG)(seen).scores
    names = agent.spec.action_names
    up, down = names.index("RIGHT"), names.index("LEFT")
    assert torch.equal(own[1], usual[1]) and not torch.equal(own[0], usual[0])
    assert own[0, up] == usual[0, down] and own[0, down] == usual[0, up]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    dataset, perceive = play_rings(tmp_path_factory.mktemp("rings"), epsilon=0.05)
    return SimpleNamespace(
        dataset=dataset, subject=SimpleNamespace(agent=perceive.agent), player=started_player(Ring(), dataset)
    )


class Pumping(Diver):
    """A diver that pumps when its air is low."""

    def __call__(self, observation):
        scores = super().__call__(observation).scores.clone()
        air = scores[:, 0] - 1.0  # its share of all pixels of the newest frame
        scores[:, 1] = torch.where(air < 0.5, 5.0, -5.0)
        return AgentOutput(scores)


def states_with(session, condition):
    """Start records of some recorded states with variables for which a condition holds."""
    found = []
    for index in range(0, 1_000, 7):
        session.player.environment.restore(session.player.place(index))
        if condition(session.player.environment.read_variables()):
            found.append(StartRecord("", index, {}, ()))
    assert len(found) >= 3
    return tuple(found[:6])


def judged(session, states, verdict="avoidable loss", rescued=None):
    weakness = SimpleNamespace(states=states, verdict=verdict, rescued=rescued)
    config = ConfirmConfig(horizon=14, holds=(5,), epsilon=0.0)
    with EnvironmentPool(Ring, Ring().spec, 8, 1) as pool:
        return Checker(session, pool, Pumping(), config, 14).check(weakness)


def rescue(actions):
    return SimpleNamespace(state=0, actions=actions, override=len(actions))


def test_losses_that_the_healthy_agent_avoids_are_due_to_the_plant(session):
    short = states_with(session, lambda v: v[BOMB] == 0 and 3 < v[AIR] < 7 and v[PLACE] <= 9 - v[AIR])
    result = judged(session, short, rescued=rescue((1, 1, 1)))
    assert result == {"repeats": True, "planted": 1.0, "healthy": 0.0, "due": True}
    assert judged(session, short, rescued=rescue((2, 2)))["repeats"] is False, "waiting saves nobody"


def test_losses_of_both_agents_are_not_due_to_the_plant(session):
    bombs = states_with(session, lambda v: 0 < v[BOMB] < 10 and v[AIR] > 10)
    result = judged(session, bombs, verdict="hopeless")
    assert result == {"repeats": None, "planted": 1.0, "healthy": 1.0, "due": False}


def weakness(*, due, repeats=True, confirmed=True, cause=()):
    return {"due": due, "repeats": repeats, "confirmed": confirmed, "cause": list(cause), "rescue": ""}


def test_summaries_count_what_was_planted_and_false_alarms():
    hidden, healthy = Hidden("a", "e", "h"), Healthy("h")
    first = {"weaknesses": [weakness(due=False, repeats=False), weakness(due=True)], "minutes": 2.0, "environment_steps": 4}
    second = {"weaknesses": [weakness(due=True, confirmed=False)], "minutes": 4.0, "environment_steps": 8}
    assert rank_of(first, hidden) == 2 and rank_of(second, hidden) is None and rank_of(first, healthy) is None
    row = known_weaknesses.summary([(hidden, first), (hidden, second)])
    assert [row[f"recall_at_{k}"][0] for k in (1, 3, 5)] == [0.0, 0.5, 0.5]
    assert row["precision"][0] == 0.5 and row["false_alarms"][0] == 0.5 and row["runs"] == 2
    assert row["right_rescue"] is None and row["minutes"][0] == 3.0 and row["environment_steps"] == 6
    row = known_weaknesses.summary([(healthy, {**second, "weaknesses": [weakness(due=None, repeats=False)]})])
    assert row["recall_at_1"] is None and row["precision"] is None and row["false_alarms"][0] == 1.0


def test_cases_are_chosen_by_name_or_group():
    cases = known_weaknesses.groups(None)
    assert list(known_weaknesses.chosen(cases, ["known", "pong_old_frames_above"])) == [
        "seaquest-double-dqn",
        "drivesemantic64-a2c",
        "drive96-a2c",
        "pong_old_frames_above",
    ]
    assert list(known_weaknesses.chosen(cases, ["careful driver"])) == ["careful driver"]
    assert len(known_weaknesses.chosen(cases, ["planted", "healthy"])) == len(PLANTS) + 4
    assert isinstance(cases["known"]["seaquest-double-dqn"], Known)
    with pytest.raises(ConfigError, match="there is no case 'planted_pong'"):
        known_weaknesses.chosen(cases, ["planted_pong"])

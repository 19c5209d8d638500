"""What-ifs: on a ring on which nobody is ever short of air as it is played, and where less of it drowns the diver."""

from dataclasses import replace

import numpy as np
import pytest
from pits import AIR, FULL, FUSE, PLACES, Ring, play_rings

from weakspot.confirm import what_ifs as searching
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.confirmation import confirm
from weakspot.confirm.what_ifs import kind_of
from weakspot.envs.editable import Variable
from weakspot.envs.pool import EnvironmentPool
from weakspot.ground.likeness import measure_likeness
from weakspot.ground.play import Route, route_to, started_player

CONFIG = ConfirmConfig(controls=60, rollouts=8, first=4, horizon=14, holds=(3, 6), probes=2, epsilon=0.0, what_ifs=240)


class Calm(Ring):
    """Every episode starts with air enough to reach the station, and few with a bomb."""

    def reset(self, seed=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        random = self.random
        bomb = FUSE if random.random() < 0.05 else 0
        return self.start([int(random.integers(PLACES)), int(random.integers(12, FULL)), bomb, int(random.integers(10))])


@pytest.fixture(scope="module", autouse=True)
def large_changes():
    """The air is a large part of the small picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "MOST", 0.3)
        yield


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return play_rings(tmp_path_factory.mktemp("calm"), environment=Calm)


@pytest.fixture(scope="module")
def pool():
    with EnvironmentPool(Calm, Calm().spec, 16, 2) as pool:
        yield pool


def confirmed(calm, pool, config=CONFIG, possible=lambda stacks: np.ones(len(stacks), bool), environment=Calm):
    dataset, perceive = calm
    likeness = measure_likeness(perceive, dataset, np.flatnonzero(dataset.age >= 1), np.random.default_rng(0))
    return confirm(started_player(environment(), dataset), pool, perceive.agent, likeness, config, {}, possible=possible)


@pytest.fixture(scope="module")
def weaknesses(calm, pool):
    return confirmed(calm, pool)


def changed(weaknesses, name):
    """The weakness of the states in which a variable was changed."""
    (weakness,) = [w for w in weaknesses.confirmation.weaknesses if w.changed and w.changed[0].startswith(f"{name}: ")]
    return weakness


def test_a_flaw_that_play_never_shows_is_found_with_its_cause_and_its_rescue(weaknesses):
    assert weaknesses.confirmation.controls.share < 0.1
    weakness = changed(weaknesses, "air")
    assert weakness.verdict == "avoidable loss" and weakness.met.events == 0 and weakness.targets == ()
    assert weakness.rate.share == 1.0 and len(weakness.states) >= 2
    assert [variable.name for variable in weakness.cause.variables] == ["air"] and weakness.cause.saved.share == 1.0
    assert "holding PUMP" in weakness.rescue.label and weakness.rescue.saved.share == 1.0
    (change,) = weakness.changed
    before, after = map(int, change.removeprefix("air: ").split(" to "))
    assert before > after
    assert f"In recorded states with one thing changed ({change}, and the like) the agent loses a life" in weakness.sentence
    assert f"Without the change {weakness.cause.saved.trials} of {weakness.cause.saved.trials} rollouts" in weakness.sentence
    assert "None of 60 random recorded states is such a state." in weakness.sentence


def test_its_states_are_recorded_ones_with_that_change_alone(calm, weaknesses):
    dataset, _ = calm
    player = started_player(Calm(), dataset)
    weakness = changed(weaknesses, "air")
    starts = [state.start for state in weakness.states]
    assert len(set(starts)) == len(starts), "one state of each scene"
    for state in weakness.states:
        assert state.source == "what-if" and set(state.changes) == {AIR}
        snapshot = player.snapshot_of(route_to(state))
        player.environment.restore(snapshot)
        now = player.environment.read_variables()
        player.snapshot_of(Route(state.start, {}, state.actions))
        same = player.environment.read_variables()
        assert now[AIR] < same[AIR] and (np.delete(now, AIR) == np.delete(same, AIR)).all()
        assert same[AIR] == calm_air(dataset, player, state.start + len(state.actions))
    place = weaknesses.confirmation.weaknesses.index(weakness)
    before, after = weaknesses.before[place].astype(int), weaknesses.after[place].astype(int)
    assert (before != after).any() and (before <= after).all(), "the picture without the change shows more air"


def calm_air(dataset, player, index):
    player.environment.restore(player.place(index))
    return player.environment.read_variables()[AIR]


def test_the_same_seed_gives_the_same_result(calm, pool, weaknesses):
    again = confirmed(calm, pool)
    assert again.confirmation == weaknesses.confirmation
    assert changed(confirmed(calm, pool, replace(CONFIG, seed=1)), "air").verdict == "avoidable loss"


def impossible(stacks):
    """No state can be."""
    return np.zeros(len(stacks), bool)


@pytest.mark.parametrize("why", ["not asked for", "no state can be", "unknown what can be", "all change too much", "alone"])
def test_nothing_is_found_otherwise(calm, pool, monkeypatch, why):
    config, possible = CONFIG, lambda stacks: np.ones(len(stacks), bool)
    if why == "not asked for":
        config = replace(CONFIG, what_ifs=0)
    elif why == "no state can be":
        possible = impossible
    elif why == "unknown what can be":
        possible = None
    elif why == "all change too much":
        monkeypatch.setattr(searching, "MOST", 0.0)
    else:
        monkeypatch.setattr(searching, "SCENES", 1)
    assert not any(weakness.changed for weakness in confirmed(calm, pool, config, possible).confirmation.weaknesses)


def test_an_agent_that_loses_anyway_shows_nothing_by_losing_after_a_change(calm, pool, monkeypatch):
    """As if it lost all rollouts after two random actions."""
    monkeypatch.setattr(searching._Search, "_lost_anyway", lambda self: [[True] * 4] * 60)
    assert not any(weakness.changed for weakness in confirmed(calm, pool).confirmation.weaknesses)


def test_what_the_agent_does_not_see_is_not_changed(calm, pool, monkeypatch):
    """The dust is too faint to count as seen before it is brushed away."""
    monkeypatch.setattr(searching, "MOVING", 61)
    tried = []
    draw = searching._Search._drawn

    def drawn(self):
        tried.append(change := draw(self))
        return change

    monkeypatch.setattr(searching._Search, "_drawn", drawn)
    confirmed(calm, pool)
    assert {change.kind for change in tried if change} <= {"air", "place"} and len(tried) > 100


def test_kinds_of_units():
    variables = (
        Variable("byte 102 (oxygen)", 0, 255, whole=True),
        Variable("person 12 doing", 0, 5, whole=True, group="person 12"),
        Variable("person 12 speed", 0, 5, group="person 12"),
        Variable("own car x", 0, 5, group="own car"),
    )
    assert [kind_of(unit, variables) for unit in ((0,), (1, 2), (3,))] == ["byte 102 (oxygen)", "person", "own car"]


class Nervous(Calm):
    """To wait is deadly; the agent never does."""

    def step(self, action):
        result = super().step(action)
        return self.result(result.reward, result.terminated or action == 2)


def test_what_means_nothing_is_two_random_actions(tmp_path, monkeypatch):
    """Of three actions one is deadly: two random ones are lost in 5 of 9 cases."""
    seen = []
    anyway = searching._Search._lost_anyway
    monkeypatch.setattr(searching._Search, "_lost_anyway", lambda self: seen.append(anyway(self)) or seen[-1])
    with EnvironmentPool(Nervous, Nervous().spec, 16, 2) as pool:
        confirmed(play_rings(tmp_path, environment=Nervous), pool, environment=Nervous)
    (lost,) = seen
    assert {len(rollouts) for rollouts in lost} == {CONFIG.first}
    assert 0.4 < np.mean(lost) < 0.7


def played(kind, scene, lost=True, origin=None):
    change = searching._Change(scene, kind, searching._Seen((0,), np.zeros((0, 1, 1, 3))), {0: 1.0}, origin)
    return searching._Played(change, (kind, scene), lost)


def search_with(entries, monkeypatch):
    """A search that has played some changes, of which all kinds matter."""
    search = object.__new__(searching._Search)
    search._played = entries
    monkeypatch.setattr(searching._Search, "_lost_anyway", lambda self: [])
    monkeypatch.setattr(searching._Search, "_matters", lambda self, kind, anyway: kind != "noise")
    return search


def test_whole_kinds_are_chosen(monkeypatch):
    sizes = {"a": 9, "b": 5, "c": 4, "alone": 1, "noise": 9}
    entries = [played(kind, scene) for kind, size in sizes.items() for scene in range(size)]
    chosen = search_with([*entries, played("b", 0), played("c", 9, lost=False)], monkeypatch).chosen()
    assert chosen == [("a", scene) for scene in range(6)] + [("b", scene) for scene in range(5)]
    assert search_with([played("a", 0, lost=False)], monkeypatch).chosen() == []


def test_a_kind_matters_if_its_copies_are_lost_more_often_than_in_their_own_scenes():
    search = object.__new__(searching._Search)
    copies = [played("person", scene, lost=scene < 6, origin=99) for scene in range(10)]
    search._played = [*copies, played("person", 11), played("light", 0)]
    safe = [[False] * 4] * 12
    assert search._matters("person", safe) and not search._matters("light", safe), "without copies nothing is known"
    assert not search._matters("person", [[True, True, True, False]] * 10 + [[False] * 4] * 2), "other scenes do not count"


def test_a_change_is_copied_to_the_same_parts_of_another_thing():
    search = object.__new__(searching._Search)
    search._variables = tuple(
        Variable(f"person {number} {part}", 0, 5, group=f"person {number}")
        for number in (3, 12)
        for part in ("doing", "speed")
    )
    change = searching._Change(0, "person", searching._Seen((0, 1), np.zeros((0, 1, 1, 3))), {0: 4.0}, None)
    assert search._copied(change, (2, 3)) == {2: 4.0}
    assert search._copied(change, (3,)) == {}, "its doing does not vary"

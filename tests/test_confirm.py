"""Confirmation: on a ring whose losses, causes and rescues are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pits import ACTIONS, AIR, FULL, PLACE, Diver, Locked, Ring, play_rings

from weakspot.agents.base import AgentOutput
from weakspot.analysis.expectation import Expectation, fit_expectation
from weakspot.analysis.returns import horizon_returns
from weakspot.artifacts.twins import Change, Distances, Twin, Twins, TwinSearch
from weakspot.artifacts.weaknesses import CauseVariable, Rate, read_weaknesses, write_weaknesses
from weakspot.confirm import overrides as overriding
from weakspot.confirm import sequences, verdicts
from weakspot.confirm.captions import sentence
from weakspot.confirm.causes import Usual, units_of
from weakspot.confirm.clips import digest_of, play_clip
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.confirmation import confirm
from weakspot.confirm.expectation import calibrate
from weakspot.confirm.inputs import outcome_function
from weakspot.confirm.losses import rule_for
from weakspot.confirm.overrides import label_of, overrides, searched
from weakspot.confirm.records import Judged, clips_of
from weakspot.confirm.rollouts import Job, Roller, Rollout, act
from weakspot.confirm.starts import Start, check_replay
from weakspot.confirm.statistics import fisher, rate_of, share
from weakspot.envs.editable import Variable
from weakspot.envs.pool import EnvironmentPool
from weakspot.errors import ConfigError, SnapshotError
from weakspot.ground.likeness import measure_likeness
from weakspot.ground.play import Player, Route, started_player

CONFIG = ConfirmConfig(controls=100, rollouts=8, first=4, horizon=14, holds=(3, 6), losing=30, probes=4, epsilon=0.0)


@pytest.fixture(scope="module")
def rings(tmp_path_factory):
    return play_rings(tmp_path_factory.mktemp("rings"))


@pytest.fixture(scope="module")
def pool():
    with EnvironmentPool(Ring, Ring().spec, 16, 2) as pool:
        yield pool


def likeness_of(rings):
    dataset, perceive = rings
    return measure_likeness(perceive, dataset, np.flatnonzero(dataset.age >= 1), np.random.default_rng(0))


def confirmed(rings, pool, config=CONFIG, twins=None, environment=Ring, **others):
    dataset, perceive = rings
    player = started_player(environment(), dataset)
    return confirm(player, pool, perceive.agent, likeness_of(rings), config, twins or {}, **others)


@pytest.fixture(scope="module")
def found(rings, pool):
    return confirmed(rings, pool)


def with_cause(found, name):
    """The groups of which a variable is a cause."""
    return [w for w in found.confirmation.weaknesses if w.cause and name in [v.name for v in w.cause.variables]]


def test_the_known_weakness_its_cause_and_its_rescue_are_found(found):
    air = max(with_cause(found, "air"), key=lambda weakness: weakness.rate.trials)
    assert air.verdict == "avoidable loss" and air.confirmed
    assert air.rate.share == 1.0 and air.cause.saved.share > 0.9 and not air.cause.together
    assert air.rescue.label.startswith("holding PUMP for") and air.rescue.saved.share == 1.0
    assert air.rescue.own_share == 0.0, "the agent never pumps"
    assert "dust" not in [variable.name for variable in air.cause.variables]
    assert "Holding PUMP" in air.sentence or "holding PUMP" in air.sentence
    assert "air" in air.sentence and "loses a life" in air.sentence
    assert air.ends == {"air": air.rate.events} and f"The end: air ({air.rate.events})." in air.sentence


def test_a_sentence_begins_with_values_that_are_unusual(found):
    air = with_cause(found, "air")[0]
    usual = CauseVariable((104,), "byte 104", 0, 0, 0, 1)
    oxygen = CauseVariable((102,), "byte 102 (oxygen)", 2, 11, 23, 57)

    def first_words(*variables, together=False):
        cause = replace(air.cause, variables=variables, together=together)
        return sentence(replace(air, cause=cause), "loses a life", air.rate, 21).partition(" the agent loses")[0]

    assert first_words(usual, oxygen) == "With byte 102 (oxygen) at 2 to 11 (usually 23 to 57)"
    assert first_words(usual) == "In states like this", "a usual value tells nothing"
    anything = CauseVariable((8,), "byte 8", 1, 254, 21, 236)
    assert first_words(anything) == "In states like this", "nor does a range around all usual values"
    assert first_words(anything, oxygen) == first_words(oxygen)
    row = CauseVariable((67,), "byte 67", 18, 193, 23, 207)
    assert first_words(row) == "In states like this", "nor does one that is nearly the usual one"
    person = CauseVariable((3, 4), "person 3", 0, 0, 0, 1)
    assert first_words(person, usual, together=True) == "With person 3 as it is", "of several variables one is shown"
    ranges = [air.cause.variables[0].usual_low, air.cause.variables[0].usual_high]
    assert ranges == [round(end) for end in ranges], "ends of a range are values that occur"


def test_an_avoidable_loss_costs_what_its_rescue_avoids(found):
    air = max(with_cause(found, "air"), key=lambda weakness: weakness.rate.trials)
    often = (air.met.events + 0.5) / (air.met.trials + 1)
    half = replace(air.rescue, saved=Rate(30, 40, 5, 0, 1), own=Rate(40, 40, 5, 0, 1))
    late = replace(air, rescue=half, rate=Rate(80, 80, 10, 0, 1))
    assert late.cost == pytest.approx(often * 0.5 * 0.75), "in time in half of the states"
    assert replace(late, verdict="hopeless").cost == pytest.approx(often)
    assert air.cost > late.cost


def test_what_nothing_avoids_is_hopeless(found):
    bombs = with_cause(found, "bomb")
    assert bombs and {weakness.verdict for weakness in bombs} == {"hopeless"}
    for weakness in bombs:
        assert weakness.cause.saved.share > 0.9 and not weakness.confirmed and "None of the" in weakness.sentence
    places = [found.confirmation.weaknesses.index(w) for w in bombs]
    assert min(places) > 0, "weaknesses come first"


def test_the_same_seed_gives_the_same_result(rings, pool, found):
    again = confirmed(rings, pool)
    assert again.confirmation == found.confirmation
    np.testing.assert_array_equal(again.frames, found.frames)


def test_causes_and_rescues_do_not_depend_on_the_seed(rings, pool):
    for seed in (1, 2):
        air = with_cause(confirmed(rings, pool, replace(CONFIG, seed=seed)), "air")
        assert any(weakness.verdict == "avoidable loss" and "PUMP" in weakness.rescue.label for weakness in air)


def test_clips_can_be_repeated_bit_for_bit(rings, found):
    dataset, _ = rings
    player = started_player(Ring(), dataset)
    weakness = found.confirmation.weaknesses[0]
    for clip in (weakness.loss, weakness.rescued):
        snapshot = player.place(weakness.states[clip.state].start)
        frames, _ = play_clip(player.environment, snapshot, clip.seed, clip.actions)
        assert digest_of(frames) == clip.digest
        np.testing.assert_array_equal(found.clip(clip), np.stack(frames[:: clip.every]))
    assert weakness.loss.loss and not weakness.rescued.loss and weakness.rescued.override >= 3
    assert weakness.rescued.actions[: weakness.rescued.override] == (1,) * weakness.rescued.override
    assert weakness.rescued.label.startswith("holding PUMP for") and not weakness.loss.label


def test_the_clip_shows_the_surest_rescue():
    def rollouts(*lost):
        return [Rollout(0, (0,), np.zeros(1), np.zeros(1, bool), False, False, "", 1 if one else None) for one in lost]

    class Recorded:
        def record(self, state, snapshot, rollout, override, length):
            return state, override

    starts = [SimpleNamespace(snapshot=b"")] * 3
    own, better = [rollouts(1, 1), rollouts(1, 1), rollouts(1, 0)], [rollouts(1, 0), rollouts(0, 0), rollouts(0, 0)]
    given = overrides(Diver().spec, CONFIG, None)[:3]
    frame = np.zeros((2, 2, 1), np.uint8)
    judged = Judged("avoidable loss", tuple(starts), own, better, tuple(given), None, None, frame, frame)
    assert clips_of(judged, Recorded()) == ((1, None), (1, given[1]))


def test_where_many_variables_decide_none_is_a_cause(rings, pool, monkeypatch):
    monkeypatch.setattr("weakspot.confirm.causes.FEW", 0)
    found = confirmed(rings, pool).confirmation.weaknesses
    assert found and not any(weakness.cause for weakness in found)


def test_the_artifact_is_read_as_it_was_written(found, tmp_path):
    from weakspot.artifacts.subject import EnvironmentRecord

    spec = Ring().spec
    environment = EnvironmentRecord(spec.id, spec.action_names, spec.frames, spec.height, spec.width, spec.channels, {})
    write_weaknesses(tmp_path, found)
    read = read_weaknesses(tmp_path, environment)
    assert read.confirmation == found.confirmation
    for name in ("typical", "before", "after", "frames"):
        np.testing.assert_array_equal(getattr(read, name), getattr(found, name))


def twin_of(rings, changes, number=0):
    """A twin made by edits of a recorded state, accepted whatever it is."""
    dataset, _ = rings
    start = int(np.flatnonzero(dataset.age == 12)[number])
    player = started_player(Ring(), dataset)
    variables = Ring().variables
    player.environment.restore(player.place(start))
    before = player.environment.read_variables()
    made = player.play(player.place(start), changes, (0, 0))
    edits = tuple(Change(i, variables[i].name, float(before[i]), value) for i, value in changes.items())
    distances = Distances(0.1, 0.1, 0.1)
    return Twin(number, "edited", True, start, edits, (0, 0), distances, 0.0, 0.0, None, None, 1, 0.1), made.frames


def twins_of(rings, name, edits):
    pairs = [twin_of(rings, changes, number) for number, changes in enumerate(edits)]
    records = tuple(replace(twin, number=number) for number, (twin, _) in enumerate(pairs))
    frames = np.stack([stack for _, stack in pairs])
    scores = np.zeros((len(pairs), 3))
    empty = np.zeros((0, *frames.shape[2:]), np.uint8)
    return {name: Twins(TwinSearch(name, 1.0, 0.5, 1.0, 0.0, records), frames, scores, None, frames, empty)}


def test_twins_show_what_recorded_play_does_not(rings, pool):
    """Twelve decisions after the start nobody is short of air; an edited twin is."""
    twins = twins_of(rings, "T-", [{AIR: 4.0, PLACE: 0.0}, {AIR: 5.0, PLACE: 1.0}, {AIR: 6.0, PLACE: 0.0}])
    found = confirmed(rings, pool, twins=twins)
    assert found.confirmation.twins.share == 1.0 and found.confirmation.twins.states == 3
    air = with_cause(found, "air")
    sources = {state.source for weakness in air for state in weakness.states}
    assert {"T- 1", "T- 2", "T- 3"} <= sources
    states = found.confirmation.states
    assert [(state.lost, state.source) for state in states if state.source] == [
        (CONFIG.first, "T- 1"), (CONFIG.first, "T- 2"), (CONFIG.first, "T- 3"),
    ]  # fmt: skip
    assert {state.rollouts for state in states} == {CONFIG.first}
    controls = [state for state in states if not state.source]
    assert sum(state.lost for state in controls) == found.confirmation.controls.events and len(controls) == CONFIG.controls
    assert any("T-" in weakness.targets for weakness in air)


def test_a_twin_that_leads_elsewhere_is_noticed(rings, pool):
    twins = twins_of(rings, "T-", [{AIR: 4.0}])
    broken = {"T-": replace(twins["T-"], states=twins["T-"].states // 2)}
    with pytest.raises(SnapshotError, match="T- 1"):
        confirmed(rings, pool, twins=broken)


def test_without_variables_there_are_rescues_but_no_causes(rings):
    with EnvironmentPool(lambda: Ring(editable=False), Ring().spec, 16, 1) as pool:
        found = confirmed(rings, pool, environment=lambda: Ring(editable=False))
    assert found.confirmation.weaknesses and not any(w.cause for w in found.confirmation.weaknesses)
    assert any(w.verdict == "avoidable loss" for w in found.confirmation.weaknesses)
    assert any("cannot be edited" in note for note in found.confirmation.notes)
    telling = [w for w in found.confirmation.weaknesses if w.differs]
    assert telling, "little air is seen in the picture"
    for weakness in telling:
        (differs,) = weakness.differs
        assert differs.box is not None and differs.separation > 0.5
        assert "Compared with similar states without a loss, the picture is mostly" in weakness.sentence
        assert "that need not be the cause" in weakness.sentence and "Cause:" not in weakness.sentence


def test_a_reference_agent_is_tried(rings, pool, monkeypatch):
    """It only pumps."""
    monkeypatch.setattr("weakspot.confirm.confirmation.USED", 1.1)
    monkeypatch.setattr("weakspot.confirm.overrides.SEQUENCES", 0)
    monkeypatch.setattr("weakspot.confirm.overrides.single_actions", lambda spec: [("holding WAIT", 2, 2)])
    monkeypatch.setattr(sequences, "SEARCHED", 0)
    found = confirmed(rings, pool, reference=Diver(chosen=1))
    air = with_cause(found, "air")[0]
    assert air.rescue.label == "the play of diver" and air.rescue.tried == 3 and air.rescue.saved.share == 1.0


def test_an_agent_that_loses_everywhere_has_no_single_weakness(rings, pool, monkeypatch):
    monkeypatch.setattr("weakspot.confirm.confirmation.WEAK", 0.05)
    found = confirmed(rings, pool)
    assert found.confirmation.controls.share > 0.05 and not found.confirmation.weaknesses
    assert any("weak everywhere" in note for note in found.confirmation.notes)


def test_an_agent_that_loses_often_is_judged_within_a_shorter_horizon(rings, pool, found, monkeypatch):
    share = found.confirmation.controls.share
    monkeypatch.setattr("weakspot.confirm.confirmation.OFTEN", share - 0.01)
    monkeypatch.setattr("weakspot.confirm.confirmation.FEWER", share / 2)
    shorter = confirmed(rings, pool, replace(CONFIG, holds=(2, 3)))
    confirmation = shorter.confirmation
    assert 4 <= confirmation.horizon < CONFIG.horizon and confirmation.controls.share < share - 0.01
    assert any(f"rollouts have {confirmation.horizon} decisions" in note for note in confirmation.notes)
    assert not any("weak everywhere" in note for note in confirmation.notes)
    assert with_cause(shorter, "air")[0].verdict == "avoidable loss"
    assert confirmation.environment_steps > 400 * confirmation.horizon, "the first rollouts count, too"


class Leaky(Ring):
    """A ring without a station: to pump only puts the loss off."""

    def step(self, action):
        air = self.state[AIR]
        result = super().step(action)
        if self.state[PLACE] == 9:
            self.state[AIR] = min(air - 1 + 4 * (action == 1), FULL)
            return self.result(result.reward, result.terminated or self.state[AIR] <= 0)
        return result


def test_a_loss_that_is_only_put_off_is_not_avoided(tmp_path, monkeypatch):
    monkeypatch.setattr("weakspot.confirm.overrides.SEQUENCES", 0)
    for limit in ("WEAK", "OFTEN"):
        monkeypatch.setattr(f"weakspot.confirm.confirmation.{limit}", 1.1)
    monkeypatch.setattr(sequences, "SEARCHED", 0)
    monkeypatch.setattr("pits.EPISODE", 200)
    states = play_rings(tmp_path, environment=Leaky)
    with EnvironmentPool(Leaky, Leaky().spec, 16, 2) as pool:
        put_off = confirmed(states, pool, replace(CONFIG, holds=(3,)), environment=Leaky)
        assert put_off.confirmation.weaknesses and not any(w.confirmed for w in put_off.confirmation.weaknesses)
        monkeypatch.setattr("weakspot.confirm.context.LONGER", 1.0)
        taken_in = confirmed(states, pool, replace(CONFIG, holds=(3,)), environment=Leaky)
        assert any(w.confirmed and "PUMP" in w.rescue.label for w in taken_in.confirmation.weaknesses)


class PumpsNext(Diver):
    """Swims right; PUMP is its second choice."""

    def __call__(self, observation):
        scores = super().__call__(observation).scores
        return AgentOutput(scores + torch.tensor([0.0, 0.5, 0.0]))


def test_to_play_without_an_action_can_be_a_rescue(rings, pool, monkeypatch):
    monkeypatch.setattr("weakspot.confirm.overrides.SEQUENCES", 0)
    monkeypatch.setattr("weakspot.confirm.overrides.single_actions", lambda spec: [("holding WAIT", 2, 2)])
    monkeypatch.setattr(sequences, "SEARCHED", 0)
    player = started_player(Ring(), rings[0])
    found = confirm(player, pool, PumpsNext(), likeness_of(rings), CONFIG, {})
    air = with_cause(found, "air")[0]
    assert air.verdict == "avoidable loss" and air.rescue.label.startswith("not taking RIGHT for")
    assert air.rescue.own_share == 1.0 and "The agent takes RIGHT in 100 % of its decisions there" in air.sentence
    given = air.rescued.actions[: air.rescued.override]
    assert given == (1,) * air.rescue.decisions, "the agent itself chose PUMP instead"
    assert air.rescue.tried == 4, "WAIT held and RIGHT left out, for both numbers of decisions"


@pytest.fixture(scope="module")
def locked_rings(tmp_path_factory):
    return play_rings(tmp_path_factory.mktemp("locked"), environment=Locked)


@pytest.mark.parametrize(
    ("trials", "searched", "verdict"), [(0, 4, "avoidable loss"), (12, 0, "avoidable loss"), (0, 0, "hopeless")]
)
def test_a_sequence_saves_where_no_held_action_does(locked_rings, monkeypatch, trials, searched, verdict):
    """The bomb of a locked ring asks for two actions; neither alone is of any use.  Each of the two searches finds both."""
    monkeypatch.setattr(overriding, "SEQUENCES", 0)
    monkeypatch.setattr(sequences, "PIECE", 2)
    monkeypatch.setattr(sequences, "SEARCHED", searched)
    monkeypatch.setattr(sequences, "TRIALS", trials)
    with EnvironmentPool(Locked, Locked().spec, 16, 2) as locked:
        bombs = with_cause(confirmed(locked_rings, locked, environment=Locked), "bomb")
    assert bombs and {weakness.verdict for weakness in bombs} == {verdict}
    if trials or searched:
        assert all("a searched sequence" in weakness.rescue.label for weakness in bombs)
        assert bombs[0].rescue.saved.share == 1.0


def test_outcomes_of_users(rings, pool, tmp_path, monkeypatch):
    monkeypatch.setattr("weakspot.confirm.confirmation.OFTEN", 0.0)
    (tmp_path / "mine.py").write_text(
        "def earned(rollout):\n    return rollout.total\ndef same(rollout):\n    return 1.0\n"
        "def wrong(rollout):\n    return float('nan')\ndef fails(rollout):\n    return rollout.nothing\n"
    )
    found = confirmed(rings, pool, outcome=outcome_function(f"{tmp_path / 'mine.py'}:earned"))
    assert found.confirmation.loss == "does badly by the given outcome"
    assert found.confirmation.horizon == CONFIG.horizon, "outcomes of shorter rollouts are others"
    for name, words in (("same", "have the outcome 1.0"), ("wrong", "nan"), ("fails", "AttributeError")):
        with pytest.raises(ConfigError, match=words):
            confirmed(rings, pool, outcome=outcome_function(f"{tmp_path / 'mine.py'}:{name}"))
    with pytest.raises(ConfigError, match=r"path\.py:function"):
        outcome_function("mine")
    with pytest.raises(ConfigError, match="no function"):
        outcome_function(f"{tmp_path / 'mine.py'}:other")
    assert outcome_function(None) is None


def test_without_any_difference_in_return_nothing_is_a_loss(rings, pool, monkeypatch):
    rule = replace(rule_for(rings[0], lambda rollout: 1.0), given=False)
    monkeypatch.setattr("weakspot.confirm.confirmation.rule_for", lambda dataset, outcome: rule)
    found = confirmed(rings, pool).confirmation
    assert found.controls.events == 0 and not found.weaknesses
    assert any("nothing can be called a loss" in note for note in found.notes)


def test_environments_that_cannot_be_repeated_are_noticed(rings):
    dataset, _ = rings

    class Forgetful(Ring):
        def restore(self, snapshot):
            step = super().restore(snapshot)
            self.random = np.random.default_rng()
            return step

    with pytest.raises(SnapshotError):
        check_replay(Player(Forgetful(), dataset), np.random.default_rng(0))
    check_replay(Player(Ring(), dataset), np.random.default_rng(0))


def test_what_a_loss_is_follows_from_recorded_play(rings):
    dataset, _ = rings
    rule = rule_for(dataset, None)
    assert rule.lives and rule.phrase == "loses a life"

    class Recorded:
        def __init__(self, reward, terminated=(), lives=()):
            self.reward = np.array(reward, np.float32)
            self.terminated, self.life_lost = (np.isin(np.arange(len(reward)), at) for at in (terminated, lives))
            self.age = np.arange(len(reward)) % 1_000

    points = rule_for(Recorded([0.0] * 98 + [1.0, -1.0], terminated=[98]), None)
    assert points.penalty == -0.5 and points.phrase == "loses points" and not points.ends
    assert points.is_loss(-1.0, False, False) and not points.is_loss(1.0, False, True)
    falls = rule_for(Recorded([1.0] * 100, terminated=[50, 99]), None)
    assert falls.ends and falls.is_loss(1.0, False, True) and not falls.is_loss(1.0, False, False)
    costs = rule_for(Recorded([-0.1] * 100), None)
    assert costs.measure is not None and costs.phrase == "earns little"
    short, long = (Rollout(0, (0,) * n, np.full(n, -0.1), np.zeros(n, bool), False, False, "", None) for n in (5, 120))
    assert costs.measure(short) == pytest.approx(costs.measure(long)), "the end of a game is no weakness"
    made = [replace(long, rewards=np.full(120, reward)) for reward in (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0)]
    lost = [rollout.lost for rollout in costs.calibrated(made).judged(made)]
    assert lost == [True, True, True, *[False] * 5], "more than a tenth are equally low"
    often = rule_for(Recorded([0.0] * 98 + [1.0, -1.0] * 3), None)
    assert often.measure is not None, "with many penalties, rollouts from anywhere have some"
    goal = rule_for(Recorded([0.0] * 99 + [1.0], terminated=[99]), None)
    assert not goal.ends, "an end that brings more than usual is none"
    ends = (995, 1_990, 2_999, 3_300)
    assert rule_for(Recorded([1.0] * 4_000, terminated=ends[:2]), None).ends, "two episodes tell nothing about a clock"
    clock = rule_for(Recorded([1.0] * 4_000, terminated=ends), None)
    assert not clock.ends and clock.measure is not None, "most episodes end when the time is up"
    assert rule_for(Recorded([1.0] * 4_000, terminated=(995, 1_300, 2_400, 3_500)), None).ends
    assert rule_for(Recorded([1.0] * 4_000, terminated=(300, 1_300, 2_300)), None).ends, "too early for a clock"


def test_rollouts_follow_their_jobs(rings, pool):
    dataset, perceive = rings
    player = started_player(Ring(), dataset)
    index = int(np.flatnonzero(dataset.age == 12)[0])
    snapshot = player.place(index)
    roller = Roller(pool, [perceive.agent, Diver(chosen=2)], 0.0, lambda reward, life, over: life)
    jobs = [Job(snapshot, seed, 6, override=(1, 1)) for seed in range(40)]
    for rollout in roller.run(jobs):
        assert rollout.actions == (1, 1, 0, 0, 0, 0) and rollout.loss is None
        np.testing.assert_allclose(rollout.rewards, [0, 0, 0.1, 0.1, 0.1, 0.1], atol=1e-6)
    assert roller.steps == 240
    (waits,) = roller.run([Job(snapshot, 0, 40, actor=1)])
    assert set(waits.actions) == {2} and waits.loss == len(waits.actions) == waits.rewards.size and waits.cause == "air"
    (banned,) = roller.run([Job(snapshot, 0, 6, banned=0, banned_for=2)])
    assert 0 not in banned.actions[:2] and set(banned.actions[2:]) == {0}
    (cut,) = roller.run([Job(snapshot, 0, 60, actor=1)], until_loss=True)
    assert cut.loss == len(cut.actions)


def test_actions_are_chosen_as_the_agent_acts():
    agent, random = Diver(), np.random.default_rng(0)
    scores = np.array([0.0, 1.0, 0.5])
    assert {act(agent, scores, random, 0.0) for _ in range(20)} == {1}
    assert {act(agent, scores, random, 1.0) for _ in range(60)} == {0, 1, 2}
    assert {act(agent, scores, random, 1.0, banned=1) for _ in range(60)} == {0, 2}
    agent.spec = replace(agent.spec, scores_are="log-probabilities", acts="sampled")
    chosen = [act(agent, np.log([0.2, 0.7, 0.1]), random, 0.0) for _ in range(2_000)]
    np.testing.assert_allclose(np.bincount(chosen) / 2_000, [0.2, 0.7, 0.1], atol=0.04)
    agent.spec = replace(agent.spec, scores_are="means", acts="greedy", action_bounds=((-1.0, 1.0),) * 3)
    assert act(agent, np.array([0.5, 3.0, -9.0]), random, 0.0) == (0.5, 1.0, -1.0)


def test_overrides_hold_every_action():
    options = overrides(Diver().spec, CONFIG, "another")
    labels = [option.label for option in options]
    assert {f"holding {name} for {hold} decisions" for name in ACTIONS for hold in (3, 6)} <= set(labels)
    assert labels[-1] == "the play of another" and options[-1].actor == 1
    continuous = replace(Diver().spec, scores_are="means", action_bounds=((-1.0, 1.0), (0.0, 1.0), (0.0, 1.0)))
    values = {option.actions[0] for option in overrides(continuous, CONFIG, None) if "holding" in option.label}
    middle = (0.0, 0.5, 0.5)
    ends = [(-1.0, 0.5, 0.5), (1.0, 0.5, 0.5), (0.0, 0.0, 0.5), (0.0, 1.0, 0.5), (0.0, 0.5, 0.0), (0.0, 0.5, 1.0)]
    assert values == {middle, *ends}


def test_different_rescues_are_named_together():
    options = {option.label: option for option in overrides(Diver().spec, CONFIG, None)}
    names = ("RIGHT for 3", "PUMP for 3", "PUMP for 6")
    right, pump, other = (options[f"holding {name} decisions"] for name in names)
    assert label_of([pump, pump]) == "holding PUMP for 3 decisions"
    assert label_of([right, pump, pump]) == "holding PUMP or RIGHT for 3 decisions"
    assert label_of([pump, other, pump]) == "holding PUMP for 3 or 6 decisions"
    sequence = next(option for label, option in options.items() if label.startswith("random"))
    assert label_of([pump, sequence]) == "holding PUMP for 3 decisions or random sequence 1 of 6 decisions"
    searches = [searched(Diver().spec, actions) for actions in ((1, 2, 1), (2, 1, 2))]
    assert label_of(searches) == "a searched sequence for each state"
    several = label_of([pump, *searches, sequence, right])
    first = "a searched sequence for each state, holding PUMP for 3 decisions"
    assert several == f"{first} or, depending on the state, one of 2 others"
    names = [replace(pump, label=f"holding {name} for 3 decisions") for name in "ABCDE"]
    assert label_of(names) == "holding A, B or, depending on the state, one of 3 others for 3 decisions"


def test_expectations_are_calibrated_on_recorded_play(rings):
    dataset, perceive = rings
    found = horizon_returns(dataset, 5, 0.5, lives=True)
    returns, complete = found.values, found.complete
    index = int(np.flatnonzero((dataset.age == 18) & complete)[0])
    assert returns[index] == pytest.approx(0.1 * (1 + 0.5 + 0.25 + 0.125 + 0.0625))
    ends = np.flatnonzero(dataset.life_lost)[0]
    assert returns[ends] == pytest.approx(0.1) and complete[ends]
    assert not complete[dataset.steps - 1] or dataset.life_lost[dataset.steps - 1] or dataset.truncated[dataset.steps - 1]
    expectation = calibrate(dataset, 14, 0.99, lives=True)
    assert expectation is not None and (np.diff(expectation.returns) >= 0).all()
    little, much = (AgentOutput(torch.tensor([[value, 0.0, 0.0]])) for value in (1.05, 1.95))
    assert expectation(little, perceive.agent.spec) < expectation(much, perceive.agent.spec)
    assert expectation.rank(little, perceive.agent.spec) < 0.1 < 0.5 < expectation.rank(much, perceive.agent.spec)
    plain = Expectation(np.array([0.0, 1.0]), np.array([2.0, 4.0]), np.array([1, 3]))
    assert plain(AgentOutput(torch.tensor([[0.5, 0.2, 0.1]])), perceive.agent.spec) == pytest.approx(3.0)
    assert plain.rank(AgentOutput(torch.tensor([[0.0], [0.5], [1.0], [2.0]])), perceive.agent.spec).tolist() == [
        0,
        0.25,
        0.25,
        1,
    ]


def test_states_of_one_expectation_get_their_mean_return():
    values, returns = np.array([1.0, 0.0, 1.0, 0.0, 1.0]), np.array([6.0, 1.0, 0.0, 3.0, 3.0])
    expectation = fit_expectation(values, returns)
    assert expectation.calibrated(np.array([0.0, 1.0])).tolist() == [2.0, 3.0], "whatever their order"
    turned = fit_expectation(values, -returns)
    assert turned.calibrated(np.array([0.0, 1.0])) == pytest.approx([-2.6, -2.6]), "pooled by the number of states"


def test_intervals_count_states_and_not_rollouts():
    from scipy.stats import binomtest

    all_lost = share([8] * 11, [8] * 11)
    assert (all_lost.events, all_lost.trials, all_lost.high) == (88, 88, 1.0)
    assert all_lost.low == pytest.approx(binomtest(11, 11).proportion_ci().low)
    half = share([4, 4], [8, 8])
    exact = binomtest(1, 2).proportion_ci()
    assert (half.low, half.high) == (pytest.approx(exact.low), pytest.approx(exact.high))
    assert share([], []) == Rate(0, 0, 0, 0.0, 1.0) and rate_of([]) == share([], [])
    assert fisher(Rate(8, 8, 1, 0, 1), Rate(0, 8, 1, 0, 1)) == pytest.approx(1 / 6435)
    assert fisher(Rate(0, 0, 0, 0, 1), Rate(3, 8, 1, 0, 1)) == 1.0


def rescue(saved, own, gain=0.0, p=1e-6):
    from weakspot.artifacts.weaknesses import Rescue

    return Rescue("holding UP for 8 decisions", 8, Rate(saved, 24, 3, 0, 1), Rate(own, 24, 3, 0, 1), 40, p, 0.0, gain)


@pytest.mark.parametrize(
    ("lost", "found", "verdict"),
    [
        (24, rescue(24, 24), "avoidable loss"),
        (24, rescue(24, 24, gain=-1.0), "undecided"),  # survival for less return
        (24, rescue(24, 24, p=0.03), "undecided"),  # not beyond chance, with two groups
        (24, rescue(1, 24), "hopeless"),
        (24, rescue(4, 24), "undecided"),
        (10, rescue(24, 10), "undecided"),  # it mostly does not lose after all
    ],
)
def test_verdicts_on_losses(lost, found, verdict):
    assert verdicts.of_loss(Rate(lost, 24, 3, 0, 1), found, 2) == verdict


def test_verdicts_on_expectations():
    controls, calm, bad = Rate(64, 320, 80, 0, 1), Rate(2, 64, 8, 0, 1), Rate(60, 64, 8, 0, 1)
    more, less = np.array([1.0, 1.2, 0.9, 1.1]), -np.array([1.0, 1.2, 0.9, 1.1])
    low, high = np.full(4, 0.05), np.full(4, 0.8)
    assert verdicts.of_expectation(more, low, calm, controls, 3) == "unfounded fear"
    assert verdicts.of_expectation(less, high, bad, controls, 3) == "overconfidence"
    assert verdicts.of_expectation(more, high, calm, controls, 3) == "undecided"
    assert verdicts.of_expectation(less, low, bad, controls, 3) == "undecided"
    assert verdicts.of_expectation(np.array([1.0, -1.0, 0.5, -0.2]), low, calm, controls, 3) == "undecided"
    assert verdicts.is_needless(np.array([0.0, 0.1, 0.05]), calm, calm, 1.0)
    assert not verdicts.is_needless(np.array([-1.0, -0.9, -1.1]), calm, calm, 1.0), "it would cost return"
    assert not verdicts.is_needless(np.array([0.0, 0.1, 0.05]), calm, bad, 1.0), "it would cost lives"


def test_variables_of_one_group_are_changed_as_one():
    names = ("lamp", "person 1 x", "person 1 y", "still", "person 2 x")
    groups = ("", "person 1", "person 1", "", "person 2")
    variables = [Variable(name, 0, 9, group=group) for name, group in zip(names, groups, strict=True)]
    units = units_of(variables, [0, 1, 2, 4])
    assert units == ((0,), (1, 2), (4,))
    rows = np.array([[0, 1, 1, 5, 3], [1, 1, 2, 5, 3], [2, 1, 1, 5, 4]], float)
    usual = Usual(rows, units)
    start = Start("", "", Route(0), b"", np.zeros((1, 2, 2, 3), np.uint8), np.array([0, 1, 1, 5, 3], float))
    generator = np.random.default_rng(0)
    assert usual.values(start, [(1, 2)], 5, generator) == [{1: 1.0, 2: 2.0}], "one of the two has to differ"
    assert sorted(change[0] for change in usual.values(start, [(0,)], 5, generator)) == [1.0, 2.0]
    assert usual.values(start, [(0,), (4,)], 5, generator) == [{0: 2.0, 4: 4.0}], "both units have to differ"


@pytest.mark.parametrize(
    "changed",
    [{"rollouts": 0}, {"holds": ()}, {"holds": (200,)}, {"epsilon": 1.5}, {"gamma": 1.0}, {"seed": -1}, {"controls": -1}],
)
def test_settings_out_of_range_are_refused(changed):
    with pytest.raises(ConfigError, match=next(iter(changed))):
        ConfirmConfig(**changed)


def test_the_ring_is_what_it_says():
    """A diver at place 0 needs 9 decisions to the station."""
    ring = Ring()
    ring.reset(0)
    for air, lost in ((8, True), (9, False)):
        ring.state = [0, air, 0, 0]
        steps = [ring.step(0) for _ in range(8 if lost else 9)]
        assert steps[-1].terminated == lost and (lost or ring.state[AIR] == FULL)

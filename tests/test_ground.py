"""Twins: on a lamp whose place is known, and on Pong's real emulator."""

import math
from dataclasses import replace

import numpy as np
import pytest
from lamps import COLUMN, DUST, FUSE, ROW, Faithful, Lamp, picture, play_lamps, without_clock
from toys import linear_model

from weakspot.data.dataset import StateDataset, recorded_outputs
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.plays import Trial
from weakspot.errors import ConfigError, SnapshotError
from weakspot.ground import reach
from weakspot.ground.config import GroundConfig
from weakspot.ground.edit_search import possible_edits
from weakspot.ground.edits import bank_of, mutate, search_edits
from weakspot.ground.likeness import measure_likeness
from weakspot.ground.plausibility import errors, jumps, measure_density, measure_plausibility
from weakspot.ground.play import Player, Route, started_player
from weakspot.ground.twins import find_twin, play_onwards, prepare, scale_of
from weakspot.interface import MASK
from weakspot.search.energy import TargetScale, measure_scale
from weakspot.search.memory_search import MemorySearch
from weakspot.search.method import Sources
from weakspot.targets.base import Target

FAR = Target("FAR", "far", "The lamp is on the right", "", "-q", lambda output: output.scores[:, 1])
"""Low where the agent wants to go left: the further to the right the lamp is."""
QUICK = GroundConfig(trials=400, steps=400)
SCALE = TargetScale(scale=3.0, best=-math.inf)
"""No synthesised state is beyond the recorded ones."""


def prepared(environment, dataset, perceive, model, trained_on, held_out):
    """What searches for twins share."""
    likeness = measure_likeness(perceive, dataset, trained_on, np.random.default_rng(0))
    outputs = recorded_outputs(dataset, trained_on)
    return prepare(started_player(environment, dataset), likeness, model, trained_on, held_out, outputs, seed=0)


@pytest.fixture(scope="module")
def lamps(tmp_path_factory) -> tuple:
    return play_lamps(tmp_path_factory.mktemp("lamps"))


@pytest.fixture(scope="module")
def split(lamps):
    """Training and held-out states with whole histories."""
    dataset, _ = lamps
    whole = [part[dataset.age[part] >= 1] for part in dataset.split(0.2)]
    return tuple(whole)


@pytest.fixture(scope="module")
def grounds(lamps, split):
    dataset, perceive = lamps
    return prepared(Lamp(), dataset, perceive, Faithful(), *split)


@pytest.fixture
def likeness(lamps, split):
    dataset, perceive = lamps
    return measure_likeness(perceive, dataset, split[0], np.random.default_rng(0))


def test_distances_are_in_units_of_real_states(lamps, split, likeness):
    dataset, _ = lamps
    chosen = np.random.default_rng(1).permutation(split[0])[:200]
    views = likeness.views(dataset.stacks(chosen))
    same = likeness.distances(views.row(3), views.row(3))
    assert same.shape == (1, 3) and not same.any()
    pairs = np.concatenate([likeness.distances(views.row(i), views.row(i + 100)) for i in range(100)])
    assert (np.median(pairs, axis=0) > 0.5).all() and (np.median(pairs, axis=0) < 2.0).all()
    one, other = views.row(0), views.row(1)
    np.testing.assert_allclose(likeness.distances(one, other), likeness.distances(other, one))


def test_pixels_that_do_not_move_do_not_count(lamps, likeness):
    wanted = picture(5, 0)
    noisy = wanted.copy()
    noisy[:, 12:] += 10  # fainter than what counts as moving
    views = likeness.views(np.stack([wanted, noisy, picture(6, 0), picture(12, 3)]))
    pixels = likeness.distances(views.row(0), views)[:, 0]
    assert pixels[0] == pixels[1] == 0.0 and 0 < pixels[2] < pixels[3], "a lamp beside its place is closer than one far away"


def test_places_are_the_recorded_states(lamps):
    dataset, _ = lamps
    player = Player(Lamp(), dataset)
    for index in (0, 7, 123, 399):
        step = player.environment.restore(player.place(index))
        np.testing.assert_array_equal(step.frame, dataset.newest(np.array([index]))[0])
    route = Route(120, {COLUMN: 13.0}, (2, 2, 0))
    first, second = player.make(route), player.make(route)
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(without_clock(first.frames[-1]), without_clock(picture(13, 2)[1]))
    assert player.play(player.place(5), {COLUMN: 99.0}, (0,)) is None, "no such column"
    burnt = player.play(player.place(5), {FUSE: 1.0}, (0, 0, 0))
    assert burnt is not None and burnt.ended and len(burnt.frames) == 1


def test_another_environment_is_noticed(lamps):
    dataset, _ = lamps

    class Darker(Lamp):
        def frame(self):
            return super().frame() // 2

    with pytest.raises(SnapshotError, match="another frame"):
        Player(Darker(), dataset).place(17)


def test_edits_find_the_known_place_and_nothing_else(lamps, split, likeness):
    dataset, _ = lamps
    player = Player(Lamp(), dataset)
    rows = np.array([player.environment.restore(player.place(int(i))) and player.environment.read_variables()
                     for i in dataset.with_snapshots()])  # fmt: skip
    bank = bank_of(player.environment.variables, rows, dataset.with_snapshots())
    assert bank.varying.tolist() == [COLUMN, DUST], "the agent never moves the lamp up"
    bank = replace(bank, varying=np.array([COLUMN, ROW, DUST, FUSE]))
    wanted = likeness.views(picture(13, 2)[None])

    def score(stacks):
        return likeness.distances(wanted, likeness.views(stacks)).mean(axis=1)

    start = int(dataset.with_snapshots()[5])
    found = search_edits(player, [start, start + 3], bank, score, 600, np.random.default_rng(0))
    assert found is not None and found.score < 0.01, "but for the clock"
    assert found.route.changes[COLUMN] == 13.0, "play never gets there, but the row may be reached by going up"
    assert set(found.route.changes) <= {COLUMN, ROW}, "dust does not show, and a burnt fuse ends the episode"
    made = player.make(found.route)
    assert made is not None
    assert player.environment.state[: ROW + 1] == [13, 2]
    np.testing.assert_array_equal(made.frames[-2:], found.stack)
    again = search_edits(player, [start, start + 3], bank, score, 600, np.random.default_rng(0))
    assert again is not None and again.route == found.route


def test_children_stay_within_the_bounds():
    variables = Lamp().variables
    bank = bank_of(variables, np.array([[3.0, 0, 5, 0], [9.0, 1, 99, 1]]), np.arange(2))
    generator = np.random.default_rng(0)
    values, parent, spec = np.array([3.0, 0, 5, 0]), Trial({}, (0, 0)), Lamp().spec
    seen: set = set()
    for _ in range(300):
        parent = mutate(parent, values, bank, spec, generator)
        assert len(parent.actions) == 2
        seen |= set(parent.actions)
        for position, value in parent.changes.items():
            assert variables[position].low <= value <= variables[position].high and value == round(value) != values[position]
    assert seen == {0, 1, 2, 3}, "all actions are tried"
    masked = replace(spec, entries=((MASK, 4),))
    for _ in range(100):
        child = mutate(parent, values, bank, masked, generator)
        assert child.actions == parent.actions, "some may be forbidden"
        parent = child


def test_other_actions_are_tried_after_the_edit(lamps, likeness):
    """A lamp that moved up: the agent never does that, and its rows are no variables here."""
    dataset, _ = lamps
    player = Player(Lamp(), dataset)
    rows = np.array([player.environment.restore(player.place(int(i))) and player.environment.read_variables()
                     for i in dataset.with_snapshots()])  # fmt: skip
    bank = bank_of(player.environment.variables, rows, dataset.with_snapshots())
    wanted = likeness.views(picture(13, 2, (13, 1))[None])

    def score(stacks):
        return likeness.distances(wanted, likeness.views(stacks)).mean(axis=1)

    found = search_edits(player, [int(dataset.with_snapshots()[5])], bank, score, 400, np.random.default_rng(0))
    assert found is not None and found.score < 0.01
    assert found.route.changes == {COLUMN: 13.0} and found.route.actions == (2, 2), "UP twice"


def test_play_reaches_what_was_not_recorded(lamps, likeness):
    """Held actions lift the lamp, which the agent never does."""
    dataset, perceive = lamps
    player = Player(Lamp(), dataset)
    wanted = likeness.views(picture(5, 3)[None])

    def score(stacks):
        return likeness.distances(wanted, likeness.views(stacks)).mean(axis=1)

    starts = [int(i) for i in np.flatnonzero(dataset.age == 4)[:3]]
    found = reach.search_play(player, perceive.agent, starts, score, 2_000, np.random.default_rng(0))
    assert found is not None and found.score < 0.6 * score(dataset.stacks(np.array(starts))).min()
    made = player.make(found.route)
    assert made is not None and not found.route.changes and found.route.start in starts
    np.testing.assert_array_equal(made.frames[-2:], found.stack)
    again = reach.search_play(Player(Lamp(), dataset), perceive.agent, starts, score, 2_000, np.random.default_rng(0))
    assert again is not None and again.route == found.route, "whatever the player has played before"
    assert reach.search_play(player, perceive.agent, [], score, 100, np.random.default_rng(0)) is None


def test_jumps_round_trips_and_burnt_fuses_are_not_possible(lamps, split):
    dataset, _ = lamps
    plausibility = measure_plausibility(Faithful(), dataset, split[1], np.random.default_rng(0))
    player = Player(Lamp(), dataset)
    player.environment.restore(player.place(100))
    onwards = player.take([0, 0, 1, 1])
    good = plausibility.check(dataset.stacks(split[1][:1])[0], onwards)
    assert good.possible and good.objects is None
    jump = np.stack([np.zeros_like(picture(2, 0)[0]), np.full_like(picture(2, 0)[0], 255)])
    assert jumps(jump[None]) == [1.0]
    broken = plausibility.check(jump, onwards)
    assert not broken.settles and not broken.round_trip and not broken.possible
    assert not plausibility.check(picture(4, 0), None).plays_on
    burnt = player.play(player.place(100), {FUSE: 1.0}, (0, 0, 0))
    assert not plausibility.check(picture(4, 0), burnt).plays_on, "over at once"


def test_errors_are_those_of_the_worst_window():
    """A small object that is not reconstructed counts for more than a faint error all over the picture."""

    class Blind(Faithful):
        def reconstruct(self, state):
            rebuilt = state.clone()
            rebuilt[0] *= 0.9
            rebuilt[1, :3, :4, :4] = 0.0  # a lamp is gone in the first frame
            return rebuilt

    faint, gone = errors(Blind(), np.full((2, 2, 24, 64, 3), 200, np.uint8))
    assert faint == pytest.approx((20 / 255) ** 2, rel=1e-3)
    assert gone == pytest.approx((200 / 255) ** 2, rel=1e-3), "in windows of 4 x 4 pixels"


def test_unusual_is_a_rank_among_held_out_states():
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 10, (300, 4)).astype(float)
    rows[:, FUSE] = 0
    bank = bank_of(Lamp().variables, rows, np.arange(300))
    held_out = rows + np.array([[0.3, 0, 0, 0]])
    density = measure_density(bank, held_out[:40], generator)
    assert density is not None
    assert density.unusual(rows[7]) == 0.0 and density.unusual(np.array([50.0, 0, 0, 0])) == 1.0
    assert measure_density(bank_of(Lamp().variables, np.zeros((5, 4)), np.arange(5)), held_out, generator) is None


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [((5, 0, (4, 0)), "recorded"), ((13, 0), "edited")],
)
def test_kinds_are_tried_in_their_order(grounds, wanted, kind):
    stack = picture(*wanted)
    twin = find_twin(grounds, stack, FAR, SCALE, QUICK, 0)
    assert twin.accepted and twin.kind == kind
    np.testing.assert_array_equal(without_clock(twin.stack), without_clock(stack))
    if kind == "edited":
        assert twin.route.changes[COLUMN] == 13.0 and twin.values[COLUMN] < 10 and twin.unusual == 1.0
        refused = find_twin(grounds, stack, FAR, SCALE, GroundConfig(trials=400, steps=100, usual=0.9), 0)
        assert not refused.accepted, "nobody has seen the lamp there"
    again = find_twin(grounds, stack, FAR, SCALE, QUICK, 0)
    assert again.route == twin.route


def test_beyond_all_recorded_states_a_twin_beyond_them_is_looked_for(lamps, split, grounds):
    dataset, _ = lamps
    best = measure_scale(FAR, recorded_outputs(dataset, split[0])).best
    lenient, stack = replace(grounds, alike=10.0), picture(13, 0)
    scale = TargetScale(4.0 * (best - float(find_twin(lenient, stack, FAR, SCALE, QUICK, 0).aim)), best)
    first = find_twin(lenient, stack, FAR, replace(scale, best=-math.inf), QUICK, 0)
    assert first.accepted and first.kind == "recorded" and first.aim < best <= first.target
    further = find_twin(lenient, stack, FAR, scale, QUICK, 0)
    assert further.accepted and further.kind == "edited" and further.target < best
    kept = find_twin(lenient, stack, FAR, scale, GroundConfig(trials=1, steps=1), 0)
    assert kept.accepted and kept.kind == "recorded" and kept.target == first.target, "nothing else was found"
    again = scale_of(lenient, FAR, split[0], recorded_outputs(dataset, split[0]))
    assert again.best == pytest.approx(best), "the agent computes with the same numbers here"
    less = recorded_outputs(dataset, split[0])
    less = replace(less, scores=less.scores + 0.5 * (less.scores == less.scores.min()))
    assert scale_of(lenient, FAR, split[0], less).best == pytest.approx(best), "recorded values differ from the agent's own"
    noise = replace(scale, best=first.aim + 1e-4 * scale.scale)
    assert find_twin(lenient, stack, FAR, noise, QUICK, 0).kind == "recorded", "no lower than rounding may make it"


def test_without_variables_twins_are_recorded_or_reached(lamps, split):
    dataset, perceive = lamps
    grounds = prepared(Lamp(editable=False), dataset, perceive, Faithful(), *split)
    assert grounds.bank is None
    twin = find_twin(grounds, picture(13, 2), FAR, SCALE, QUICK, 0)
    assert twin.kind in ("recorded", "reached") and not twin.accepted and twin.unusual is None


def test_states_of_pong_are_recreated_by_edits(pong_rollout):
    """A state of one stream, from states of the other: nothing is known about the bytes."""
    dataset, perceive, _ = pong_rollout
    whole = np.flatnonzero(dataset.age >= 8)
    usable, wanted_index = whole[dataset.stream[whole] == 0], whole[dataset.stream[whole] == 1][60]
    environment = AtariEnvironment(AtariConfig("pong"))
    grounds = prepared(environment, dataset, perceive, Faithful(0.999), usable, usable[-30:])
    wanted = dataset.stacks(np.array([wanted_index]))[0]
    views = grounds.likeness.views(wanted[None])
    target = Target("RIGHT", "right", "", "", "-q", lambda output: -output.scores[:, 2])
    closest = grounds.likeness.distances(views, grounds.likeness.views(dataset.stacks(usable))).mean(axis=1).min()
    strict = replace(grounds, alike=0.0)
    twin = find_twin(strict, wanted, target, TargetScale(1.0, -math.inf), GroundConfig(trials=300, steps=40, value=0.0), 0)
    assert not twin.accepted
    assert twin.kind == "edited" and twin.distances.mean() < 0.8 * closest
    made = grounds.player.make(twin.route)
    assert made is not None
    np.testing.assert_array_equal(made.frames[-4:], twin.stack)


def test_collections_that_twins_cannot_be_found_in_are_refused(lamps, split):
    dataset, perceive = lamps
    with pytest.raises(ConfigError, match="held out"):
        prepared(Lamp(), dataset, perceive, Faithful(), split[0], split[1][:0])
    with pytest.raises(ConfigError, match="1 recorded states"):
        measure_likeness(perceive, dataset, split[0][:1], np.random.default_rng(0))


def test_edits_that_snapshots_do_not_contain_are_not_possible(lamps):
    """What the environment forgets when it is restored, as an emulator forgets how far a frame has come."""
    dataset, perceive = lamps

    class Forgetful(Lamp):
        dimmed = 0

        def write_variables(self, changes):
            super().write_variables(changes)
            self.dimmed = 1

        def restore(self, snapshot):
            self.dimmed = 0
            return super().restore(snapshot)

        def frame(self):
            return super().frame() >> self.dimmed

    for environment, goes_on in ((Lamp(), True), (Forgetful(), False)):
        player = Player(environment, dataset)
        made = player.make(Route(30, {COLUMN: 12.0}, (0, 1)))
        assert made is not None
        assert (play_onwards(player, perceive.agent, made.last, 0) is not None) == goes_on


def test_environments_that_fail_after_an_edit_are_survived(lamps):
    dataset, _ = lamps

    class Fragile(Lamp):
        def step(self, action):
            if self.state[COLUMN] > 12:
                raise IndexError("no such column")
            return super().step(action)

    player = Player(Fragile(), dataset)
    assert player.play(player.place(30), {COLUMN: 13.0}, (0, 0)) is None
    assert player.play(player.place(30), {COLUMN: 12.0}, (0, 0)) is not None


def test_episodes_that_are_too_short_are_refused(lamps, split):
    dataset, perceive = lamps
    short = split[0][dataset.age[split[0]] < 4]
    with pytest.raises(ConfigError, match="do without twins"):
        prepared(Lamp(), dataset, perceive, Faithful(), short, split[1])


@pytest.mark.parametrize("changed", [{"trials": 0}, {"usual": 1.5}, {"value": -1.0}, {"seed": -1}])
def test_settings_out_of_range_are_refused(changed):
    with pytest.raises(ConfigError, match=next(iter(changed))):
        GroundConfig(**changed)


def test_states_with_snapshots(lamps):
    dataset, _ = lamps
    assert isinstance(dataset, StateDataset)
    for index in dataset.with_snapshots()[::7]:
        assert dataset.snapshot_before(int(index))[0] == index
    assert len(dataset.with_snapshots()) == 40


def test_memory_search_goes_beyond_all_recorded_states(lamps, split, grounds):
    dataset, perceive = lamps
    outputs = recorded_outputs(dataset, split[0])
    sources = Sources(perceive, dataset, split[0], outputs, linear_model(), possible_edits(grounds))
    found = MemorySearch(trials=200)(sources, FAR, 3, seed=0)
    best = float(FAR(outputs).min())
    assert (found.target < best - 1.0).all(), "play never moves the lamp beyond column 9, but its column can be changed"
    assert (found.target == FAR(perceive(found.state))).all()
    assert found.cost.model == 0 and found.cost.environment >= 3 * 200, "every trial plays two decisions"
    again = MemorySearch(trials=200)(sources, FAR, 3, seed=0)
    assert (again.state == found.state).all()


def test_memory_search_keeps_to_possible_states(lamps, split, grounds):
    dataset, perceive = lamps
    outputs = recorded_outputs(dataset, split[0])
    nothing = possible_edits(grounds, usual=-1.0)  # nothing is usual enough
    found = MemorySearch(trials=20)(Sources(perceive, dataset, split[0], outputs, linear_model(), nothing), FAR, 2, seed=0)
    recorded = np.sort(FAR(outputs).numpy())
    assert all(np.isclose(recorded, value).any() for value in found.target), "recorded states instead"


def test_memory_search_needs_variables(lamps, split, grounds):
    dataset, perceive = lamps
    sources = Sources(perceive, dataset, split[0], recorded_outputs(dataset, split[0]), linear_model())
    with pytest.raises(ConfigError, match="cannot be edited"):
        MemorySearch()(sources, FAR, 2, seed=0)
    with pytest.raises(ConfigError, match="no variables that vary"):
        possible_edits(replace(grounds, bank=None))

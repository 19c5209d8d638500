"""The measures: ball recall, novelty, intervals, goggles, fidelity."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_pong import SmallAgent

from weakspot.agents.base import Perceiver
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.diversity import mean_distance
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.goggles import Played, Scores, goggles, play_episodes
from weakspot.analysis.novelty import closest, differing_share, differs_relatively
from weakspot.analysis.objects.pong_ball import ball_recall, positions
from weakspot.analysis.samples import measure_samples
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset, as_state
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.observation import gray_observation
from weakspot.intervals import bootstrap_difference, bootstrap_mean, bootstrap_ratio, jackknife, wilson
from weakspot.state_model.model import StateModel
from weakspot.state_model.whitening import identity


def pong():
    return AtariEnvironment(AtariConfig("pong"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> StateDataset:
    config = CollectConfig(frames=600, streams=3, shard_steps=100, snapshot_every=200, epsilon=1.0)
    return collect(SmallAgent(), pong, config, tmp_path_factory.mktemp("pong"), workers=1)


class IdentityNetwork(torch.nn.Module):
    """A 'state model' that reconstructs a state exactly, and then applies ``change``."""

    latent = 12 * 84 * 84

    def __init__(self, change=lambda state: state):
        super().__init__()
        self.change = change

    def encode(self, state):
        return state.flatten(1), torch.zeros_like(state.flatten(1))

    def decode(self, latent):
        return self.change(latent.unflatten(1, (12, 84, 84)))


def model(change=lambda state: state) -> StateModel:
    return StateModel(IdentityNetwork(change), identity(1), {})


def test_ball_is_at_the_position_in_the_memory(dataset):
    index = np.flatnonzero(dataset.age > 20)
    frames, ram = dataset.newest(index), dataset.ram[index]
    columns, rows, inside = positions(ram, 84, 84)
    assert inside.mean() > 0.3
    hits = 0
    for i in np.flatnonzero(inside):
        window = frames[i, max(int(rows[i]) - 2, 0) : int(rows[i]) + 3, max(int(columns[i]) - 2, 0) : int(columns[i]) + 3, 2]
        hits += window.size > 0 and window.max() > 60
    assert hits / inside.sum() > 0.97


def test_recall_is_one_for_identical_frames_and_zero_without_balls(dataset):
    index = np.flatnonzero(dataset.age > 20)
    frames, ram = dataset.newest(index), dataset.ram[index]
    same = ball_recall(frames, frames, ram)
    assert same.share == 1.0 and len(same.recalled) > 100
    empty = np.broadcast_to(np.median(frames, axis=0).astype(np.uint8), frames.shape)
    assert ball_recall(frames, empty, ram).share < 0.05
    faint = (empty + 0.3 * (frames.astype(float) - empty)).astype(np.uint8)
    assert ball_recall(frames, faint, ram).share < 0.3, "less than half the contrast does not count"


def test_balls_moved_too_far_do_not_count(dataset):
    index = np.flatnonzero(dataset.age > 20)
    frames, ram = dataset.newest(index), dataset.ram[index]
    assert ball_recall(frames, np.roll(frames, 1, axis=2), ram).share > 0.95
    assert ball_recall(frames, np.roll(frames, 8, axis=2), ram).share < 0.3


def test_the_closest_state_of_a_stored_state_is_itself(dataset):
    index = np.arange(30, 600, 37)
    found = closest(dataset.stacks(index), dataset.stacks, np.arange(len(dataset)))
    assert (found.mse == 0).all() and (found.differing_share == 0).all()
    assert (found.stacks == dataset.stacks(index)).all()


def test_the_closest_state_matches_a_plain_search(dataset):
    states = np.random.default_rng(0).integers(0, 256, (3, 4, 84, 84, 3)).astype(np.uint8)
    states[0] = np.roll(dataset.stacks(np.array([100]))[0], 2, axis=1)
    index = np.arange(10, 590, 3)
    found = closest(states, dataset.stacks, index)
    real = dataset.stacks(index).astype(np.float64) / 255
    plain = ((real[None] - states[:, None] / 255.0) ** 2).mean(axis=(2, 3, 4, 5))
    np.testing.assert_allclose(found.mse, plain.min(axis=1), rtol=1e-4)
    np.testing.assert_allclose(plain[np.arange(3), np.searchsorted(index, found.index)], plain.min(axis=1), rtol=1e-4)


def bright_states(count):
    """Nearly white states: the last one is 3 squared levels from white, all others are 124."""
    stacks = np.full((count, 4, 84, 84, 3), 255, np.uint8)
    for number, stack in enumerate(stacks):
        stack[number % 4, number % 84, number // 84] -= np.array([10, 4, 2], np.uint8)
        stack[0, 0, -1, 0] -= 2
    stacks[-1] = 255
    stacks[-1, 0, 5, 5] -= 1
    return stacks


def test_bright_states_that_are_nearly_equal_are_distinguished():
    """Without centred colours, sums of 84,672 squares of 255 lose hundreds of squared levels in single precision."""
    real = bright_states(300)
    states = np.full((2, 4, 84, 84, 3), 255, np.uint8)
    states[1] = 0
    found = closest(states, real.__getitem__, np.arange(300))
    squares = ((states[:, None].astype(np.int64) - real[None]) ** 2).sum(axis=(2, 3, 4, 5))
    assert squares[0, -1] == 3 and (squares[0, :-1] == 124).all() and found.index[0] == 299
    assert found.index[1] == squares[1].argmin()
    np.testing.assert_array_equal(found.mse, squares.min(axis=1) / (255.0**2 * 84 * 84 * 12))


def test_a_pixel_differs_when_one_colour_is_off_by_more_than_a_quarter(dataset):
    state = dataset.stacks(np.array([200])).copy()
    state[0, 0, :42, :, 1] = np.where(state[0, 0, :42, :, 1] < 128, state[0, 0, :42, :, 1] + 64, state[0, 0, :42, :, 1] - 64)
    assert closest(state, dataset.stacks, np.array([200])).differing_share[0] == pytest.approx(0.125)
    state = dataset.stacks(np.array([200])).astype(int)
    state[0, 0] = np.where(state[0, 0] < 128, state[0, 0] + 63, state[0, 0] - 63)
    assert closest(state.astype(np.uint8), dataset.stacks, np.array([200])).differing_share[0] == 0.0


def test_relative_differences_are_those_of_the_training_state():
    others = np.array([0, 0, 100, 100, 100, 200, 250], np.uint8).reshape(1, 1, 1, 7, 1)
    states = np.array([0, 1, 125, 126, 74, 160, 180], np.uint8).reshape(1, 1, 1, 7, 1)
    expected = [False, True, False, True, True, False, True]
    assert differs_relatively(states, others).ravel().tolist() == expected
    assert differing_share(states, others, differs_relatively).tolist() == [4 / 7]
    assert differing_share(states, others).tolist() == [1 / 7], "more than 63 levels"


def test_intervals_have_their_nominal_coverage():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        _, low, high = bootstrap_mean(generator.normal(3.0, 2.0, 40), generator)
        covered += low <= 3.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("count", [3, 5, 8, 12, 19])
def test_intervals_of_few_values_have_their_nominal_coverage(count):
    generator, covered = np.random.default_rng(count), {"mean": 0, "difference": 0}
    for _ in range(400):
        values, others = generator.normal(3.0, 2.0, (2, count))
        _, low, high = bootstrap_mean(values, generator)
        covered["mean"] += low <= 3.0 <= high
        _, low, high = bootstrap_difference(values, others, generator)
        covered["difference"] += low <= 0.0 <= high
    assert 0.91 <= covered["mean"] / 400 <= 0.99 and 0.91 <= covered["difference"] / 400 <= 1.0


def test_ratio_of_paired_means_and_undefined_ratios():
    generator, covered = np.random.default_rng(2), 0
    for _ in range(200):
        others = generator.normal(10.0, 3.0, 40)
        found = bootstrap_ratio(0.8 * others + generator.normal(0.0, 1.0, 40), others, generator)
        assert found is not None and found[2] - found[1] < 0.15, "pairs are kept together"
        covered += found[1] <= 0.8 <= found[2]
    assert 0.88 <= covered / 200 <= 0.99
    assert bootstrap_ratio(np.array([3.0, 1.0]), np.array([2.0, 2.0]), generator) == pytest.approx(
        (1.0, 1.0 - 0.5 * 12.706 / 1.96 * 2**0.5, 1.0 + 0.5 * 12.706 / 1.96 * 2**0.5), abs=1e-3
    )
    for others in ([-5.0, 5.0, 3.0], [-1.0, -1.0, -1.0], [0.0, 0.0, 0.0]):
        assert bootstrap_ratio(np.ones(3), np.array(others), generator) is None


@pytest.mark.parametrize("count", [4, 16, 39, 60])
def test_jackknife_intervals_have_their_nominal_coverage(count):
    """The mean distance of two points of a Gaussian is 2 s / sqrt(pi)."""
    generator = np.random.default_rng(1)
    covered = {"distance": 0, "mean": 0}
    for _ in range(300):
        points = generator.normal(5.0, 2.0, count)

        def distance(chosen, points=points):
            return mean_distance(torch.from_numpy(points[chosen, None]))

        whole, low, high = jackknife(distance, count, generator)
        assert low < whole < high and whole == distance(np.arange(count))
        covered["distance"] += low <= 4 / math.sqrt(math.pi) <= high
        _, low, high = jackknife(lambda chosen, points=points: float(points[chosen].mean()), count, generator)
        covered["mean"] += low <= 5.0 <= high
    assert 0.88 <= covered["distance"] / 300 <= 1.0 and 0.9 <= covered["mean"] / 300 <= 0.99
    assert jackknife(lambda chosen: float(len(chosen)), count, generator) == (count, count, count), (
        "a constant has no spread"
    )


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_contains_the_share_and_stays_within_0_and_1(counts):
    share, low, high = wilson(*counts)
    assert 0.0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1.0


def test_wilson_matches_the_textbook():
    assert wilson(81, 263) == pytest.approx((0.308, 0.2553, 0.3662), abs=5e-4)


def played(*scores):
    return Played(np.array(scores), np.sign(scores), 0)


def test_perfect_goggles_change_nothing_but_the_pixel_maximum():
    config = GogglesConfig(episodes=2, longest=80, seed=3)
    alone = play_episodes(SmallAgent(), pong, config, workers=1)
    again = play_episodes(SmallAgent(), pong, config, workers=1)
    assert alone.truncated == 2 and (alone.scores == again.scores).all()
    assert (alone.signs == alone.scores).all(), "a point of Pong is a reward of 1"
    scores = goggles(model(), SmallAgent(), pong, config)
    assert scores.agent.scores.shape == scores.goggles.scores.shape == (2,)
    record = scores.record(0)
    assert record["difference"]["mean"] == record["goggles"]["mean"] - record["agent"]["mean"]
    assert record["note"].startswith("4 episodes")


def test_goggles_show_the_agent_the_reconstruction():
    class Recording(SmallAgent):
        """Records the brightness of its observations."""

        seen: list[float] = []

        def __call__(self, observation):
            self.seen.append(float(observation.mean()))
            return super().__call__(observation)

    config = GogglesConfig(episodes=1, longest=5)
    play_episodes(Recording(), pong, config, model(lambda state: state * 0 + 1.0), workers=1)
    assert Recording.seen == pytest.approx([255.0 * 0.9999] * 5, rel=1e-3)


def test_scores_are_paired_by_episode():
    record = Scores(played(1.0, 5.0), played(0.0, 4.0)).record(0)
    assert (record["difference"]["low"], record["difference"]["high"]) == (-1.0, -1.0)
    wider = 12.706 / 1.959964 * 2**0.5  # for two episodes
    expected = {"mean": 2 / 3, "low": 2 / 3 - wider * 2 / 3, "high": 2 / 3 + wider * (0.8 - 2 / 3)}
    assert record["ratio"] == pytest.approx(expected)


def test_one_episode_has_no_interval():
    record = Scores(played(2.0), played(1.0)).record(0)
    assert record["difference"] == {"mean": -1.0, "low": None, "high": None}
    assert record["ratio"] == {"mean": 0.5, "low": None, "high": None}


def test_fidelity_of_a_perfect_and_of_an_empty_model(dataset):
    perceive, index = Perceiver(SmallAgent(), gray_observation), np.arange(100, 200)
    perfect = fidelity(model(), perceive, dataset, index)
    assert perfect.mse == 0.0 and perfect.agreement > 0.97 and perfect.output_error < 0.01
    assert perfect.recalls["ball"].share == 1.0
    assert perfect.output_errors.shape == (len(index),)
    one = dataset.stacks(index[3:4])

    def breaks_one(state):
        broken = (state == as_state(one)).flatten(1).all(dim=1)
        return torch.where(broken[:, None, None, None], state * 0, state)

    assert fidelity(model(breaks_one), perceive, dataset, index).output_errors.argmax() == 3
    empty = fidelity(model(lambda state: state * 0), perceive, dataset, index)
    assert empty.mse > 0.01 and empty.recalls["ball"].share == 0.0
    assert set(empty.line()) == {"mse", "agreement", "answer_error", "kl", "active_units", "ball_recall"}


def test_invalid_settings_are_refused():
    from weakspot.errors import ConfigError

    with pytest.raises(ConfigError):
        replace(GogglesConfig(), longest=0)


class StoredStates(torch.nn.Module):
    """A 'state model' whose samples are recorded states after ``change``, later ones for larger latents."""

    latent = 1

    def __init__(self, states, change=lambda state: state):
        super().__init__()
        self.states, self.change = states, change

    def decode(self, latent):
        share = torch.special.ndtr(latent[:, 0])
        return self.change(self.states[(share * len(self.states)).long().clamp(max=len(self.states) - 1)])


def test_samples_like_the_data_are_at_the_floor_and_others_are_not(dataset):
    indices = np.flatnonzero(dataset.age > 20)
    states = as_state(dataset.stacks(indices))
    perceive = Perceiver(SmallAgent(), gray_observation)

    def measured(change=lambda state: state):
        return measure_samples(StateModel(StoredStates(states, change), identity(1), {}), perceive, dataset, indices)

    alike, doubled, gray = measured(), measured(lambda s: torch.maximum(s, s.flip(3))), measured(lambda s: 0 * s + 0.5)
    assert len(alike.stacks) == min(200, len(indices) // 2)
    assert alike.distance < 2 * alike.floor and gray.distance > 5 * gray.floor
    # at a serve the left paddle jumps, and the pixel maximum shows it twice; random play has many serves
    assert alike.real_checks.valid.mean() > 0.9 and alike.checks.valid.mean() > 0.9
    assert doubled.checks.valid.mean() < 0.1
    assert json.loads(json.dumps(alike.record()))["count"] == len(alike.stacks)

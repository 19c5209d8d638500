"""Every method of the comparison, tested against closed forms or brute force."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rollouts import LINEAR, sources
from toys import linear_perceiver

from weakspot.agents.base import AgentOutput
from weakspot.data.dataset import as_stacks
from weakspot.errors import ConfigError, TargetError
from weakspot.search import pixel_regularisers as pixels
from weakspot.search.activation_maximization import ActivationMaximization
from weakspot.search.algorithm_1 import RACE, AlgorithmOne
from weakspot.search.config import SynthesisConfig
from weakspot.search.highlights import Highlights, HighlightsDiv, importance, summary
from weakspot.search.method import Method, select_spaced
from weakspot.search.random_samples import RandomSamples
from weakspot.search.random_search import RandomSearch
from weakspot.search.retrieval import Retrieval
from weakspot.system.compute import threads
from weakspot.targets.base import Target
from weakspot.targets.resolve import resolve_target

METHODS: list[Method] = [
    AlgorithmOne(SynthesisConfig(steps=40, candidates=64, kept=1.0)),
    Retrieval(),
    RandomSamples(),
    RandomSearch(200),
    Highlights(),
    HighlightsDiv(),
    *(ActivationMaximization(regulariser, steps=8) for regulariser in pixels.REGULARISERS),
]
SYNTHESISING = [method for method in METHODS if not isinstance(method, (Retrieval, Highlights, HighlightsDiv))]


def name_of(method):
    return method.name


def make_target(name="T-"):
    return resolve_target(name, LINEAR.agent.spec, 5.0)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_states_outputs_and_target_values_are_consistent(method):
    inputs, target = sources(), make_target("T+-")
    found = method(inputs, target, 5, 0)
    assert found.state.shape == (5, 12, 4, 4) and found.state.min() >= 0 and found.state.max() <= 1
    torch.testing.assert_close(found.output.scores, inputs.perceive(found.state).scores, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(found.target, target(found.output))


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_the_same_seed_gives_the_same_states(method):
    assert torch.equal(method(sources(), make_target(), 4, 3).state, method(sources(), make_target(), 4, 3).state)


@pytest.mark.parametrize("method", SYNTHESISING, ids=name_of)
def test_another_seed_gives_other_states(method):
    found = method(sources(), make_target(), 4, 3)
    assert found.index is None
    assert not torch.equal(found.state, method(sources(), make_target(), 4, 4).state)


def test_methods_have_unique_names():
    assert len({method.name for method in METHODS}) == len(METHODS)


class Counted:
    """Counts the states in forward and backward passes of the agent."""

    def __init__(self):
        self.forward = self.backward = self.again = 0

    def __call__(self, state):
        self.forward += len(state)
        observed = LINEAR.observe(state) * 1.0
        if observed.requires_grad:
            passed: list[int] = []
            observed.register_hook(lambda gradient: self.back(len(gradient), passed))
        return observed

    def back(self, count, passed):
        self.again += count if passed else 0
        self.backward += count
        passed.append(count)


@pytest.mark.parametrize("method", [method for method in METHODS if method.name != "HIGHLIGHTS-DIV"], ids=name_of)
def test_cost_counts_the_passes_of_the_agent(method):
    """The check of a target's gradient in the first step takes one more backward pass, which is not counted."""
    counted = Counted()
    with threads(1):
        found = method(sources(replace(LINEAR, observe=counted)), make_target(), 4, 0)
    assert found.cost.agent == counted.forward + 2 * (counted.backward - counted.again)


# Retrieval


def test_retrieval_finds_the_best_states_that_are_far_enough_apart():
    inputs, target = sources(), make_target()
    found = Retrieval(gap=10)(inputs, target, 3, 0)
    values = target(inputs.outputs).numpy()
    time, stream = inputs.dataset.time[found.index], inputs.dataset.stream[found.index]
    assert found.target[0] == values.min() and (np.diff(found.target.numpy()) >= 0).all()
    for i in range(3):
        assert all(stream[i] != stream[j] or abs(time[i] - time[j]) >= 10 for j in range(i))
    near = (inputs.dataset.stream[inputs.indices] == stream[0]) & (
        np.abs(inputs.dataset.time[inputs.indices] - time[0]) < 10
    )
    near |= (inputs.dataset.stream[inputs.indices] == stream[1]) & (
        np.abs(inputs.dataset.time[inputs.indices] - time[1]) < 10
    )
    assert found.target[2] == values[~near].min()
    torch.testing.assert_close(found.state[0], torch.from_numpy(inputs.dataset.stacks(found.index[:1])[0]).permute(
        0, 3, 1, 2).flatten(0, 1) / 255.0)  # fmt: skip


def test_missing_states_raise_an_error():
    with pytest.raises(ConfigError, match="fewer states"):
        Retrieval(gap=1000)(sources(), make_target(), 5, 0)
    with pytest.raises(ConfigError, match="fewer states"):
        Highlights(interval=1000)(sources(), make_target(), 5, 0)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(0, 30),
)
def test_spaced_states_keep_the_gap_and_skip_no_others(at, count, gap):
    stream, time = (np.array(column) for column in zip(*at, strict=True))
    chosen = select_spaced(np.arange(len(at)), stream, time, count, gap)

    def free(one, others):
        return all(stream[one] != stream[other] or abs(time[one] - time[other]) >= gap for other in others)

    for place, one in enumerate(chosen):
        assert free(one, chosen[:place])
        skipped = set(range(one)) - set(chosen[:place].tolist())
        assert not any(free(other, chosen[: np.searchsorted(chosen, other)]) for other in skipped)
    assert len(chosen) <= count


# Random search


def test_random_search_keeps_the_best_of_its_samples():
    inputs, target = sources(), make_target()
    found = RandomSearch(300)(inputs, target, 7, 5)
    generator = torch.Generator().manual_seed(5)
    drawn = [torch.randn(min(64, 300 - at), inputs.model.latent, generator=generator) for at in range(0, 300, 64)]
    values = target(inputs.perceive(inputs.model.generate(torch.cat(drawn))))
    torch.testing.assert_close(found.target, values.sort().values[:7])
    with pytest.raises(ConfigError, match="at least 7 samples"):
        RandomSearch(6)(inputs, target, 7, 0)


def test_gradient_search_beats_random_search_of_the_same_cost():
    inputs, target = sources(), make_target("A1")
    ours = AlgorithmOne(SynthesisConfig(steps=150, candidates=64, enough="never", regulariser=0.01))(inputs, target, 8, 0)
    random = RandomSearch(ours.cost.model)(inputs, target, 8, 0)
    assert random.cost.model >= ours.cost.model
    assert ours.target.median() < random.target.min()


# HIGHLIGHTS


def published_summary(important, count, interval):
    """The algorithm as published, on one rollout."""
    taken, wait = [], 0
    for number, value in enumerate(important):
        wait = max(wait - 1, 0)
        if wait == 0 and (len(taken) < count or value > min(important[one] for one in taken)):
            if len(taken) == count:
                taken.remove(min(taken, key=lambda one: important[one]))
            taken.append(number)
            wait = interval
    return sorted(taken)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60, unique=True), st.integers(1, 5), st.integers(0, 6))
def test_summaries_match_the_published_algorithm(important, count, interval):
    values = np.array(important, np.float64)

    def least(taken, new):
        return int(np.argmin(values[taken]))

    assert sorted(summary(values, np.zeros(len(values)), count, interval, least)) == published_summary(
        important, count, interval
    )


def test_interval_does_not_extend_into_the_next_rollout():
    values, streams = np.array([1.0, 5, 5, 9, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    assert sorted(summary(values, streams, 2, 4, lambda taken, new: 0)) == [0, 3]


def test_highlights_selects_important_states_for_any_target():
    inputs = sources()
    matters = importance(inputs.outputs.scores.numpy())
    found = Highlights(interval=3)(inputs, make_target("T-"), 6, 0)
    spread = importance(found.output.scores.numpy())
    assert spread.mean() > np.quantile(matters, 0.9) and (np.diff(spread) <= 0).all()
    assert np.array_equal(found.index, Highlights(interval=3)(inputs, make_target("T+"), 6, 0).index)


def test_highlights_div_replaces_the_state_most_like_the_new_one(monkeypatch):
    """Three states in the summary; a fourth, more important than all, is most similar to the second."""
    inputs = sources()
    order = np.lexsort((inputs.dataset.time[inputs.indices], inputs.dataset.stream[inputs.indices]))
    scores = torch.zeros(len(order), 3)
    scores[order[[0, 10, 20, 30]], 0] = torch.tensor([5.0, 7.0, 6.0, 9.0])
    places = {int(inputs.indices[order[at]]): value for at, value in zip((0, 10, 20, 30), (0.0, 4.0, 9.0, 5.0), strict=True)}
    stacks = {inputs.dataset.stacks(np.array([index])).tobytes(): value for index, value in places.items()}

    def fake_features(perceive, states):
        stack = as_stacks(states).tobytes()
        return torch.tensor([[stacks[stack]]])

    monkeypatch.setattr("weakspot.search.highlights.features", fake_features)
    changed = replace(inputs, outputs=AgentOutput(scores))
    found = HighlightsDiv(interval=10)(changed, make_target("A0"), 3, 0)
    assert sorted(found.index) == sorted(index for index, value in places.items() if value != 4.0)
    plain = Highlights(interval=10)(changed, make_target("A0"), 3, 0)
    assert sorted(plain.index) == sorted(index for index, value in places.items() if value != 0.0)


def test_highlights_refuses_scores_that_are_no_q_values():
    inputs = sources()
    spec = replace(LINEAR.agent.spec, scores_are="means", action_bounds=((-1.0, 1.0),) * 3)
    agent = linear_perceiver().agent
    agent.spec = spec
    with pytest.raises(ConfigError, match="continuous"):
        Highlights()(replace(inputs, perceive=replace(LINEAR, agent=agent)), make_target(), 3, 0)


def test_algorithm_1_counts_its_candidates_in_its_cost():
    for start, passes in (("samples", 3 * 64), ("data", 2 * 64), ("prior", 0)):
        config = SynthesisConfig(steps=10, candidates=64, start=start, patience=100)
        assert AlgorithmOne(config)(sources(), make_target(), 4, 0).cost.model == passes + 3 * 4 * 10 * 3 + 3 * 4
    race = SynthesisConfig(steps=RACE + 10, candidates=64, start="prior", patience=100)
    assert AlgorithmOne(race)(sources(), make_target(), 4, 0).cost.model == (12 * RACE + 6 * 10) * 3 + 6
    every = SynthesisConfig(steps=10, candidates=10_000, start="data", patience=100)
    inputs = sources()
    assert AlgorithmOne(every)(inputs, make_target(), 4, 0).cost.model == 2 * len(inputs.indices) + 3 * 4 * 10 * 3 + 3 * 4


def test_highlights_div_selects_more_diverse_states():
    inputs = sources()
    plain, diverse = (method(interval=3)(inputs, make_target(), 6, 0) for method in (Highlights, HighlightsDiv))

    def least_distance(found):
        apart = torch.cdist(found.output.vector(), found.output.vector())
        return (apart + 1e9 * torch.eye(6)).min()

    assert least_distance(diverse) > least_distance(plain)


# Activation maximisation


def test_pixels_of_a_linear_agent_follow_the_signs_of_its_weights():
    """The best state for an action is 1 where its weight is positive and 0 elsewhere. With one step size for all pixels,
    gradient steps reach it except where the weights are tiny."""
    inputs = sources()
    found = ActivationMaximization(steps=400, step=0.05)(inputs, make_target("A1"), 3, 0)
    weight = inputs.perceive.agent.weight[1].view(12, 4, 4)
    clear = weight.abs() > 0.2 * weight.abs().mean()
    assert torch.equal(found.state[:, clear], (weight > 0).float()[clear].expand(3, -1))


@pytest.mark.parametrize("regulariser", pixels.REGULARISERS, ids=name_of)
def test_every_regulariser_still_descends(regulariser):
    inputs, target = sources(), make_target("A1")
    before, after = (ActivationMaximization(regulariser, steps=n)(inputs, target, 4, 0).target for n in (1, 100))
    assert (after < before).all()


@pytest.mark.parametrize("regulariser", pixels.REGULARISERS[1:], ids=name_of)
def test_every_regulariser_makes_smoother_images(regulariser):
    inputs, target = sources(), make_target("A1")
    rough, smoother = (
        pixels.TotalVariation().penalty(ActivationMaximization(one, steps=100)(inputs, target, 4, 0).state)
        for one in (pixels.Plain(), regulariser)
    )
    assert (smoother < 0.9 * rough).all()


def test_target_without_a_gradient_is_refused():
    flat = Target("flat", "flat", "", "", "", lambda output: output.scores.detach().sum(dim=1))
    with pytest.raises(TargetError, match="no gradient"):
        ActivationMaximization(steps=2)(sources(), flat, 2, 0)


@pytest.mark.parametrize("name", ["steps", "step", "start_sigma"])
def test_invalid_numbers_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        ActivationMaximization(**{name: 0})


def smooth(seed, shape=(2, 3, 7, 5)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_total_variation_by_finite_differences():
    state, tv = smooth(0).requires_grad_(), pixels.TotalVariation()
    (gradient,) = torch.autograd.grad(tv.penalty(state).sum(), state)
    direction, step = smooth(1) - 0.5, 1e-5
    forward, backward = (tv.penalty(state + sign * step * direction).sum() for sign in (1, -1))
    torch.testing.assert_close((gradient * direction).sum(), (forward - backward) / (2 * step), rtol=1e-5, atol=1e-7)


def test_total_variation_of_a_ramp_is_its_slope():
    ramp = torch.linspace(0, 1, 11).expand(1, 3, 6, 11)
    torch.testing.assert_close(pixels.TotalVariation().penalty(ramp), torch.tensor([0.1]), rtol=1e-3, atol=0)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 50.0), st.integers(0, 100), st.integers(2, 9), st.integers(2, 9))
def test_a_sobolev_gradient_solves_its_equation(smoothness, seed, height, width):
    gradient = smooth(seed, (1, 2, height, width))
    d = pixels.SobolevGradient(smoothness=smoothness).update(gradient)
    edged = torch.nn.functional.pad(d, (1, 1, 1, 1), mode="replicate")
    laplace = edged[..., 2:, 1:-1] + edged[..., :-2, 1:-1] + edged[..., 1:-1, 2:] + edged[..., 1:-1, :-2] - 4 * d
    torch.testing.assert_close(d - smoothness * laplace, gradient, atol=1e-9, rtol=1e-9)


def test_blurring_keeps_the_mean_of_flat_images_and_spreads_a_point():
    assert torch.allclose(pixels.blurred(torch.full((1, 3, 9, 9), 0.4), 1.0), torch.tensor(0.4))
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    spread = pixels.blurred(point, 1.5)
    at = torch.arange(21, dtype=torch.float64) - 10
    torch.testing.assert_close(spread.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert float((spread[0, 0] * at[:, None] ** 2).sum()) == pytest.approx(1.5**2, rel=0.03)


def test_transformations_shift_rotate_and_scale():
    """Without transformations the image is unchanged; each one is tested alone."""
    generator = torch.Generator()
    unchanged = {"jitter": 0.0, "degrees": 0.0, "scale": 0.0, "crop": 0.0}
    image = smooth(0, (1, 3, 32, 32)).float()
    same = pixels.Transformations(**unchanged).transform(image, generator.manual_seed(0))
    torch.testing.assert_close(same, image, atol=1e-5, rtol=0)
    flat = torch.zeros(64, 1, 33, 33)
    flat[:, :, 16, 16] = 1.0  # a point in the middle
    at = torch.arange(33.0) - 16

    def centre(images):
        mass = images.sum(dim=(2, 3)).squeeze(1)
        return torch.stack([(images * at[:, None]).sum(dim=(1, 2, 3)) / mass, (images * at).sum(dim=(1, 2, 3)) / mass])

    shifted = centre(pixels.Transformations(**{**unchanged, "jitter": 4.0}).transform(flat, generator.manual_seed(0)))
    assert 2 < shifted.abs().max() <= 4.01
    rotated = centre(pixels.Transformations(**{**unchanged, "degrees": 20.0}).transform(flat, generator.manual_seed(0)))
    assert rotated.abs().max() < 1e-3  # around the centre
    flat[:, :, 16, 26] = 1.0
    rotated = pixels.Transformations(**{**unchanged, "degrees": 20.0}).transform(flat, generator.manual_seed(0))
    heights = (rotated * at[:, None] * (at > 4)).sum(dim=(1, 2, 3)) / (rotated * (at > 4)).sum(dim=(1, 2, 3))
    assert 2 < heights.abs().max() < 10 * np.sin(np.radians(20.5))
    scaled = pixels.Transformations(**{**unchanged, "scale": 0.2}).transform(flat, generator.manual_seed(0))
    places = (scaled * at * (at > 4)).sum(dim=(1, 2, 3)) / (scaled * (at > 4)).sum(dim=(1, 2, 3))
    assert 8.2 < places.min() < 9.5 and 10.5 < places.max() < 12.6


def test_crops_are_at_random_positions_and_rotations_keep_right_angles():
    """The pixels of the images are their own coordinates, so the result shows where they come from."""
    generator, (height, width) = torch.Generator(), (32, 64)
    y, x = torch.meshgrid(torch.arange(height) * 1.0, torch.arange(width) * 1.0, indexing="ij")
    coordinates = torch.stack([y, x]).expand(300, 2, height, width)
    unchanged = {"jitter": 0.0, "degrees": 0.0, "scale": 0.0, "crop": 0.0}
    cropped = pixels.Transformations(**{**unchanged, "crop": 0.3}).transform(coordinates, generator.manual_seed(0))
    assert cropped[:, 0].min() >= 0 and cropped[:, 1].max() <= width - 1
    share = (cropped[:, 1, 16, 48] - cropped[:, 1, 16, 16]) / 32
    assert 0.69 < share.min() < 0.75 and 0.95 < share.max() <= 1.001
    middle = cropped[:, :, 15:17, 31:33].mean(dim=(2, 3)) - torch.tensor([15.5, 31.5])
    assert middle.abs().amax(dim=0)[0] > 3 and middle.abs().amax(dim=0)[1] > 6
    assert abs(float(torch.corrcoef(middle.T)[0, 1])) < 0.3, "the offsets in the two directions are independent"
    rotated = pixels.Transformations(**{**unchanged, "degrees": 20.0}).transform(coordinates, generator.manual_seed(0))
    down = rotated[:, :, 17, 32] - rotated[:, :, 16, 32]
    across = rotated[:, :, 16, 33] - rotated[:, :, 16, 32]
    torch.testing.assert_close((down * across).sum(dim=1), torch.zeros(300), atol=1e-3, rtol=0)
    torch.testing.assert_close(down.norm(dim=1), torch.ones(300), atol=1e-3, rtol=0)
    torch.testing.assert_close(across.norm(dim=1), torch.ones(300), atol=1e-3, rtol=0)
    assert across[:, 0].abs().max() > 0.3

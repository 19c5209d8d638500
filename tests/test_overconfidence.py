"""The target overconfidence: the fit of its estimate, its gradient, and its errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pits import SIDE, Diver, play_rings
from torch import nn
from toys import SHAPE, LinearAgent, linear_perceiver

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.analysis import overconfidence as fits
from weakspot.analysis.config import OverconfidenceConfig
from weakspot.analysis.expectation import value_of
from weakspot.analysis.features import outputs_and_features
from weakspot.analysis.overconfidence import SHARE, fit_surplus
from weakspot.analysis.returns import Returns, horizon_returns
from weakspot.artifacts.surplus import ARRAYS, read_surplus
from weakspot.data.dataset import as_state, recorded_outputs
from weakspot.errors import ConfigError, RunError, TargetError
from weakspot.targets import names
from weakspot.targets.overconfidence import Surplus
from weakspot.targets.resolve import resolve_target

POLICY = replace(LinearAgent().spec, scores_are="log-probabilities", acts="sampled")


def recorded(count=3_000, seed=0, danger=-6.0):
    """Features, expectations and returns of an agent that sees two things and minds the first one alone."""
    random = np.random.default_rng(seed)
    seen = random.normal(size=(count, 4))
    is_danger = np.sin(np.arange(count) / 7.0 + seed) > 0.8
    seen[:, 1] = 3.0 * is_danger
    returns = 2.0 * seen[:, 0] + danger * is_danger + random.normal(size=count)
    return seen, 0.1 * seen[:, 0] + 5.0, Returns(returns, np.ones(count, bool)), is_danger


def test_the_estimate_is_low_where_the_agent_expects_too_much():
    features, own, returns, is_danger = recorded()
    fitted = fit_surplus(features, own, returns)
    surplus = features @ fitted.weights + fitted.offset
    gap = surplus[is_danger].mean() - surplus[~is_danger].mean()
    assert -6.0 <= gap < -5.0, "the six points that the agent does not expect to lose, shrunk a little by the penalty"
    assert abs(fitted.weights[2:]).max() < 0.1, "what makes no difference has no weight"
    assert fitted.low < fitted.correlation < fitted.high and fitted.correlation > 0.9
    assert fitted.states == 3_000 and fitted.got < fitted.expected - 4.0
    without = fit_surplus(
        np.delete(features, 1, axis=1), own, replace(returns, values=returns.values + 0.3 * features[:, 2])
    )
    assert without.correlation < 0.3, "an agent that does not see it cannot say where"


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0.01, 100.0), min_size=4, max_size=4), st.integers(0, 3))
def test_units_and_constant_features_make_no_difference(units, where):
    features, own, returns, _ = recorded(600)
    fitted = fit_surplus(features, own, returns)
    changed = np.insert(features * units, where, 7.0, axis=1)
    again = fit_surplus(changed, own, returns)
    np.testing.assert_allclose(
        changed @ again.weights + again.offset, features @ fitted.weights + fitted.offset, rtol=1e-6, atol=1e-6
    )
    assert again.weights[where] == 0.0 and again.strength == fitted.strength


def test_many_features_are_summed(monkeypatch):
    features, own, returns, _ = recorded()
    many = np.tile(features, 8) + np.random.default_rng(1).normal(size=(len(features), 32))
    whole = many @ fit_surplus(many, own, returns).weights
    monkeypatch.setattr(fits, "MOST_FEATURES", 16)
    fitted = fit_surplus(many, own, returns)
    assert fitted.weights.shape == (32,) and fitted.correlation > 0.7
    assert np.corrcoef(whole, many @ fitted.weights)[0, 1] > 0.8


def test_the_fit_is_refused_with_the_reason():
    features, own, returns, _ = recorded()
    with pytest.raises(ConfigError, match="without Q-values and without a critic"):
        fit_surplus(features, None, returns)
    with pytest.raises(ConfigError, match="400 recorded states have a complete return"):
        fit_surplus(features, own, replace(returns, complete=np.arange(3_000) < 400))
    with pytest.raises(ConfigError, match="returns are the same in all 3,000"):
        fit_surplus(features, own, replace(returns, values=np.ones(3_000)))
    noise = np.random.default_rng(3).normal(size=3_000)
    with pytest.raises(ConfigError, match="does not show where the agent expects too much"):
        fit_surplus(features, own, replace(returns, values=noise))
    with pytest.raises(ConfigError, match="gamma is 2"):
        OverconfidenceConfig(gamma=2.0)
    with pytest.raises(ConfigError, match="horizon is 0"):
        OverconfidenceConfig(horizon=0)


def test_play_in_which_a_bomb_goes_off(tmp_path):
    """The diver expects something of its air alone, and sees the bomb."""
    dataset, perceive = play_rings(tmp_path / "rings")
    everything = np.arange(len(dataset))
    stacks = dataset.stacks(everything)
    features = outputs_and_features(perceive, as_state(stacks))[1].numpy()
    own = value_of(recorded_outputs(dataset, everything), dataset.agent)
    fitted = fit_surplus(features, own, horizon_returns(dataset, 14, 0.99, lives=True))
    has_bomb = stacks[:, -1, 2 * SIDE, 0, 0] > 0
    surplus = features @ fitted.weights + fitted.offset
    assert 0.02 < has_bomb.mean() < 0.3
    assert surplus[has_bomb].mean() < surplus[~has_bomb].mean() - 0.05
    lowest = np.argsort(surplus)[: round(SHARE * len(surplus))]
    assert has_bomb[lowest].mean() > 3 * has_bomb.mean()


def test_the_surplus_is_a_differentiable_part_of_the_output():
    perceive = linear_perceiver()
    generator = torch.Generator().manual_seed(0)
    state, direction = (torch.rand(2, *SHAPE, generator=generator) for _ in range(2))
    output, features = outputs_and_features(perceive, state)
    estimator = Surplus(torch.linspace(-1.0, 1.0, features.shape[1], dtype=torch.float64), 0.5)
    estimated = replace(perceive, estimator=estimator)
    found = estimated(state)
    torch.testing.assert_close(found.scores, output.scores)
    torch.testing.assert_close(found.surplus, features @ estimator.weights.float() + 0.5)

    target, leaf, step = resolve_target("overconfidence", perceive.agent.spec, 1.0), state.clone().requires_grad_(), 0.05
    (gradient,) = torch.autograd.grad(target(estimated(leaf)).sum(), leaf)
    change = (target(estimated(state + step * direction)) - target(estimated(state - step * direction))) / (2 * step)
    torch.testing.assert_close(change.sum(), (gradient * direction).sum(), rtol=1e-3, atol=1e-4)


def test_the_features_are_the_inputs_of_the_output_layers():
    diver, state = Diver(), torch.rand(2, 6, 4 * SIDE, 40)
    estimator = Surplus(torch.ones(state[0].numel(), dtype=torch.float64), -1.0)
    output = estimator(diver, 255.0 * state)
    torch.testing.assert_close(output.surplus, 255.0 * state.flatten(1).sum(dim=1) - 1.0, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(output.scores, diver(255.0 * state).scores)


def test_features_of_half_precision_are_converted():
    """numpy has no bfloat16, and sums of its products would be rough."""
    diver = Diver()
    diver.module = nn.Sequential(nn.Flatten(), Half(), nn.Linear(6 * 4 * SIDE * 40, 3).bfloat16())
    state = torch.rand(2, 6, 4 * SIDE, 40)
    features = outputs_and_features(Perceiver(diver, lambda state: 255.0 * state), state)[1]
    assert features.dtype == torch.float32
    output = Surplus(torch.ones(features.shape[1], dtype=torch.float64), 0.0)(diver, 255.0 * state)
    torch.testing.assert_close(output.surplus.float(), features.sum(dim=1), rtol=1e-2, atol=1.0)


class Half(nn.Module):
    def forward(self, observation):
        return observation.bfloat16()


def test_outputs_keep_their_surplus():
    output = AgentOutput(torch.ones(3, 2), None, torch.tensor([1.0, 2.0, 3.0]))
    assert output.rows(torch.tensor([2, 0])).surplus.tolist() == [3.0, 1.0] and output.cpu().surplus.tolist() == [1, 2, 3]
    assert concat_outputs([output, output]).surplus.tolist() == [1.0, 2.0, 3.0] * 2
    assert output.vector().shape == (3, 2), "it is no part of what the perception loss compares"


def test_names_of_the_target():
    assert names.canonical_name("Overconfidence", ("A", "B"), False) == "overconfidence"
    assert names.slug_of("overconfidence", ("A", "B"), True) == "overconfidence"
    assert names.needs_surplus("OVERCONFIDENCE", ("A", "B"), False) and not names.needs_surplus("T-", ("A", "B"), False)
    assert not names.needs_surplus("file.py:overconfidence", ("A",), False)
    assert not names.needs_surplus("overconfidence", ("overconfidence", "B"), False), "an action of that name"
    for scores_are in ("means", "q-values", "log-probabilities"):
        assert "overconfidence" not in names.default_target_names(("A", "B"), scores_are, True)


def test_the_target_is_refused_without_an_estimate():
    scores = torch.zeros(2, 3)
    with pytest.raises(TargetError, match="needs an estimate"):
        resolve_target("overconfidence", LinearAgent().spec, 1.0)(AgentOutput(scores))
    with pytest.raises(TargetError, match="neither Q-values nor a critic"):
        resolve_target("overconfidence", POLICY, 1.0)(AgentOutput(scores))


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("recorded"),
        lambda arrays: arrays.update(recorded=arrays["recorded"][:-1]),
        lambda arrays: arrays.update(weights=np.array([np.inf])),
        lambda arrays: arrays.update(offset=np.array([1], np.int64)),
    ],
)
def test_a_damaged_estimate_is_refused(change, tmp_path):
    arrays = {"weights": np.ones(3), "offset": np.ones(1), "recorded": np.zeros(5)}
    np.savez(tmp_path / ARRAYS, **arrays)
    assert read_surplus(tmp_path, 5).offset == 1.0
    change(arrays)
    np.savez(tmp_path / ARRAYS, **arrays)
    with pytest.raises(RunError, match="surplus"):
        read_surplus(tmp_path, 5)

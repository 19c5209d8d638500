"""Algorithm 1 as the paper prints it, and its steps in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import LinearAgent, linear_model, linear_perceiver

from weakspot.errors import ConfigError
from weakspot.search.algorithm_1 import Noise, synthesize
from weakspot.search.config import PAPER, SynthesisConfig
from weakspot.search.descent import AdamDescent, GradientDescent, descent
from weakspot.search.distribution import SearchDistribution
from weakspot.search.energy import TargetScale, energy_equation, shortfall
from weakspot.search.starts import starts
from weakspot.targets.resolve import resolve_target

PRINTED = SynthesisConfig(preset="paper", states=4, learning_rate=0.05, regulariser=0.5, steps=40, tolerance=-1e9)


def search(config, target="A1"):
    model, perceive = linear_model(), linear_perceiver()
    chosen = resolve_target(target, perceive.agent.spec, 5.0)
    start = starts(model, perceive, config, lambda i: torch.zeros(0), np.arange(0))(chosen)
    return synthesize(model, perceive, chosen, start, config, TargetScale(0.01, 0.0))


def test_the_preset_is_the_printed_algorithm():
    config = SynthesisConfig(preset="paper")
    assert (config.optimizer, config.start, config.enough, config.searches) == ("gradient-descent", "prior", "unscaled", 1)
    assert config.steps > 2 * config.patience, "convergence can stop a search"
    assert SynthesisConfig(preset="paper", steps=500).steps == 500, "explicit settings replace those of the preset"
    assert replace(config, seed=3).optimizer == "gradient-descent"
    assert all(getattr(SynthesisConfig(), name) != value for name, value in PAPER.items())


def test_printed_steps_in_closed_form():
    """With T linear in u, slope k: x_mu <- x_mu - l (-k + a x_mu) and x_sigma <- x_sigma - l (-k eps + a (x_sigma - 1 /
    x_sigma))."""
    found = search(PRINTED)
    k = LinearAgent().weight[1] @ linear_model().network.generator_matrix
    noise = Noise(PRINTED.seed, 4, 5)
    eps = torch.stack([noise.draw(np.arange(4)) for _ in range(PRINTED.steps + 1)], dim=1)
    mean, sigma = torch.zeros(4, 5), torch.ones(4, 5)
    rate, alpha = PRINTED.learning_rate, PRINTED.regulariser
    for step in range(PRINTED.steps):
        slope = -k * eps[:, step] + alpha * (sigma - 1.0 / sigma)
        mean, sigma = mean - rate * (-k + alpha * mean), sigma - rate * slope
    torch.testing.assert_close(found.distribution.mean, mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.distribution.sigma, sigma, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.noise, mean + sigma * eps[:, -1], atol=1e-5, rtol=1e-4)


def test_the_unscaled_energy_is_the_target():
    values, scale = torch.tensor([3.0, -2.0]), TargetScale(4.0, 1.0)
    assert shortfall(values, scale, PRINTED).tolist() == [3.0, -2.0]
    assert shortfall(values, scale, replace(PRINTED, enough="never")).tolist() == [0.75, -0.5]
    target = resolve_target("A1", LinearAgent().spec, 5.0)
    assert energy_equation(target, scale, PRINTED) == "E = T + 0.5 KL, T = -q[A1]"


def test_a_converged_search_stops_whatever_the_units_of_the_target():
    config = replace(PRINTED, steps=3_000, learning_rate=0.2, patience=50, tolerance=0.01)
    found = search(config)
    assert (found.iterations < 3_000).all() and (found.iterations >= 100).all()


def test_random_starts_are_samples_of_the_prior():
    config = SynthesisConfig(states=400, searches=1, start="random", start_sigma=0.3)
    model, perceive = linear_model(), linear_perceiver()
    target = resolve_target("A1", perceive.agent.spec, 5.0)
    start = starts(model, perceive, config, lambda i: torch.zeros(0), np.arange(0))(target)
    assert start.mean.shape == (400, 5) and (start.sigma == 0.3).all()
    assert start.mean.mean().abs() < 0.1 and start.mean.std() == pytest.approx(1.0, abs=0.05)
    other = starts(model, perceive, replace(config, seed=1), lambda i: torch.zeros(0), np.arange(0))(target)
    assert not torch.equal(start.mean, other.mean)


def test_the_sign_of_sigma_does_not_matter():
    mean, sigma = torch.randn(3, 5), torch.rand(3, 5) + 0.1
    torch.testing.assert_close(SearchDistribution(mean, -sigma).kl(), SearchDistribution(mean, sigma).kl())


@pytest.mark.parametrize("kind", [AdamDescent, GradientDescent])
def test_only_the_rows_of_a_step_move(kind):
    start = SearchDistribution(torch.zeros(4, 2), torch.full((4, 2), 0.5))
    moving, rows = kind(start, 0.1), torch.tensor([1, 3])
    moving.step(rows, (torch.ones(2, 2), torch.ones(2, 2)))
    x = moving.distribution(moving.parameters(torch.arange(4)))
    assert torch.equal(x.mean[[0, 2]], start.mean[[0, 2]])
    torch.testing.assert_close(x.sigma[[0, 2]], start.sigma[[0, 2]])
    assert (x.mean[rows] < 0).all() and (x.sigma[rows] < 0.5).all()
    assert (start.mean == 0).all(), "the start is left alone"


def test_adam_is_that_of_torch():
    start = SearchDistribution(torch.randn(3, 4), torch.rand(3, 4) + 0.5)
    ours = descent("adam", start, 0.05)
    mean, log_sigma = start.mean.clone().requires_grad_(), start.sigma.log().requires_grad_()
    theirs = torch.optim.Adam([mean, log_sigma], lr=0.05)
    for _ in range(20):
        gradients = torch.randn(3, 4), torch.randn(3, 4)
        ours.step(torch.arange(3), gradients)
        mean.grad, log_sigma.grad = gradients[0].clone(), gradients[1].clone()
        theirs.step()
    x = ours.distribution(ours.parameters(torch.arange(3)))
    torch.testing.assert_close(x.mean, mean)
    torch.testing.assert_close(x.sigma, log_sigma.exp())


def test_settings_out_of_range_raise():
    with pytest.raises(ConfigError):
        SynthesisConfig(preset="paper", steps=0)

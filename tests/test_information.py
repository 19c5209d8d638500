"""What latents carry, and the warning about a collapsed posterior."""

import warnings

import numpy as np
import pytest
import torch
from small_pong import make_batch

from weakspot.data.dataset import as_state
from weakspot.errors import CollapsedPosteriorWarning, ConfigError
from weakspot.state_model import losses
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.information import collapse_message, information
from weakspot.state_model.paper import PaperConfig, PaperRecipe
from weakspot.state_model.recipes import chosen_settings, recipe
from weakspot.state_model.train import train


def test_the_kl_and_the_active_units():
    mean = torch.zeros(50, 4)
    mean[:, 1] = torch.linspace(-2, 2, 50)
    mean[:, 2] = 5.0  # the same for all states: it carries a KL, and tells no states apart
    measured = information(mean, torch.zeros(50, 4))
    assert measured.kl == pytest.approx(losses.prior(mean, torch.zeros(50, 4)).mean().item())
    assert (measured.active, measured.latent, measured.collapsed) == (1, 4, False)
    assert information(torch.zeros(50, 4), torch.zeros(50, 4)).collapsed
    assert information(torch.full((50, 4), 5.0), torch.zeros(50, 4)).collapsed, "no unit tells states apart"
    assert information(torch.zeros(5, 4), torch.full((5, 4), -2e-5)).kl == pytest.approx(0.0, abs=1e-6)


def test_the_message_says_what_to_change():
    assert "scale=65025" in collapse_message(3.8, "paper") and "3.8 nats" in collapse_message(3.8, "paper")
    assert "scale" not in collapse_message(3.8, "fast")
    constant = collapse_message(600.0, "paper")
    assert "no latent dimension varies" in constant and "600" not in constant, "a KL that is the same for all states"


def test_a_training_whose_posterior_collapses_warns(pong_rollout, tmp_path):
    """A training that learns does not warn: see test_training_learns_more_than_the_median_frame."""
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(recipe="paper-vae", recipe_settings=("scale=1e-6", "prior=1", "filters=2", "latent=4"), steps=60)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(perceive, dataset, maps, config, tmp_path)
    kinds = [warning for warning in caught if issubclass(warning.category, CollapsedPosteriorWarning)]
    assert len(kinds) == 1 and "nats about a state" in str(kinds[0].message)


# The scale of the squared error


def reconstruction_gradient(pong_rollout, statistics, config):
    """The gradient of the loss without its KL, and without what the decoder does not decide."""
    settings = PaperRecipe(config)
    torch.manual_seed(0)
    network = settings.network(statistics, torch.float32).eval()
    loss, terms = settings.loss(network, make_batch(pong_rollout, 100), pong_rollout[1], statistics)
    slopes = torch.autograd.grad(loss, list(network.decoder.parameters()))
    return terms, torch.cat([slope.flatten() for slope in slopes])


def test_the_scale_multiplies_the_squared_error_and_nothing_else(pong_rollout, statistics):
    terms, one = reconstruction_gradient(pong_rollout, statistics, PaperConfig(loss="attentive", scale=1.0))
    scaled_terms, many = reconstruction_gradient(pong_rollout, statistics, PaperConfig(loss="attentive", scale=65_025.0))
    torch.testing.assert_close(many, 65_025.0 * one, rtol=1e-3, atol=1e-4 * many.abs().max().item())
    torch.testing.assert_close(terms["reconstruction"], scaled_terms["reconstruction"])


def test_the_scale_of_bytes_is_the_loss_of_bytes(pong_rollout):
    """c = 65,025 on states from 0 to 1 is the squared error of the same states in bytes."""
    state = as_state(pong_rollout[0].stacks(np.array([50, 60])))
    other, weights = state.roll(1, dims=0), torch.rand(1, *state.shape[1:])
    in_bytes = losses.reconstruction(255 * state, 255 * other, weights)
    torch.testing.assert_close(65_025.0 * losses.reconstruction(state, other, weights), in_bytes)


def test_the_sum_is_the_mean_times_the_number_of_values(pong_rollout, statistics):
    _, mean = reconstruction_gradient(pong_rollout, statistics, PaperConfig(loss="vae"))
    _, total = reconstruction_gradient(pong_rollout, statistics, PaperConfig(loss="vae", reduction="sum"))
    torch.testing.assert_close(total, 84 * 84 * 12 * mean, rtol=1e-3, atol=1e-4 * total.abs().max().item())


# Settings of a recipe, as users write them


def test_recipe_settings_have_the_types_of_the_config():
    assert chosen_settings("paper", ("scale=65025", "latent=50")) == {"scale": 65_025.0, "latent": 50}
    changed = recipe("paper-vae", chosen_settings("paper-vae", ("reduction=sum",)))
    assert changed.config == PaperConfig(loss="vae", reduction="sum") and "sum over pixels" in changed.equation
    assert "100 L_p" in recipe("paper", {"scale": 100.0}).equation


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("paper", "scale", "NAME=VALUE"),
        ("paper", "scael=3", "scale"),
        ("paper", "latent=ten", "latent=ten"),
        ("paper", "loss=partial", "loss=partial"),
        ("fast", "scale=3", "pixel_variance"),
    ],
)
def test_unknown_recipe_settings_raise_an_error_that_names_the_known_ones(name, text, words):
    with pytest.raises(ConfigError, match=words):
        chosen_settings(name, (text,))


@pytest.mark.parametrize(
    "settings",
    [{"scale": 0.0}, {"scale": float("inf")}, {"prior": -1.0}, {"latent": 0}, {"reduction": "sum"}],
)
def test_impossible_settings_of_the_papers_recipe_raise(settings):
    with pytest.raises(ConfigError):
        recipe("paper", settings)


def test_a_setting_that_is_given_twice_raises():
    with pytest.raises(ConfigError, match="once"):
        chosen_settings("paper", ("scale=1", "scale=2"))

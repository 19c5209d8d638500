"""Recipes of other packages, registered through an entry point."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch

from weakspot.errors import ConfigError, ExtensionError
from weakspot.state_model import recipes
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.model import load
from weakspot.state_model.recipes import RECIPES, recipe
from weakspot.state_model.train import train
from weakspot.system.registry import Registry

PACKAGE = """
    from weakspot.state_model.fast import FastConfig, FastRecipe

    class Tiny(FastRecipe):
        equation = "the fast recipe's, on a tiny network"

    class Tied(Tiny):
        def network(self, statistics, precision):
            network = super().network(statistics, precision)
            network.again = next(network.parameters())
            return network

    TINY = Tiny(FastConfig(width=8, code=3, batch_size=4), flow=None)
    TIED = Tied(FastConfig(width=8, code=3, batch_size=4), flow=None)
    BROKEN = 3
"""
ENTRY_POINTS = """
    [weakspot.recipes]
    tiny = tiny_recipes:TINY
    tied = tiny_recipes:TIED
    broken = tiny_recipes:BROKEN
    missing = tiny_recipes:NOTHING
    fast = tiny_recipes:TINY
"""


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """A package with recipes, installed into a separate folder."""
    site = tmp_path / "site"
    information = site / "tiny_recipes-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "tiny_recipes.py").write_text(textwrap.dedent(PACKAGE))
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-recipes\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(textwrap.dedent(ENTRY_POINTS))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(recipes, "REGISTRY", Registry("weakspot.recipes", recipes.REGISTRY.builtin))
    return site


@pytest.mark.parametrize("name", ["tiny", "tied"])
def test_a_model_is_trained_and_read_by_the_recipe_of_another_package(name, installed, pong_rollout, tmp_path):
    """Parameters of its network may share memory."""
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(recipe=name, steps=2, workers=1, precision="float32")
    model = train(perceive, dataset, maps, config, tmp_path / "model")
    assert model.latent == 4 * 3 and model.info["equation"].endswith("tiny network")
    stored = load(tmp_path / "model" / "model.safetensors")
    noise = torch.randn(2, model.latent, generator=torch.Generator().manual_seed(0))
    assert torch.equal(stored.generate(noise), model.generate(noise))
    assert recipe("tiny", {"batch_size": 7}).config.batch_size == 7


def test_broken_packages_are_named_and_shipped_recipes_cannot_be_replaced(installed):
    assert type(recipe("fast")).__name__ == "FastRecipe"
    with pytest.raises(ExtensionError, match="the recipe 'broken' is a int"):
        recipe("broken")
    with pytest.raises(ExtensionError, match=r"'missing' of weakspot\.recipes cannot be loaded from tiny_recipes:NOTHING"):
        recipe("missing")
    with pytest.raises(ConfigError, match=r"there is no recipe 'tinny'\n.*paper-vae, broken, missing, tied, tiny"):
        recipe("tinny")


def test_recipe_is_unknown_without_its_package():
    assert RECIPES == ("fast", "fast-gaussian", "paper", "paper-attentive", "paper-vae")
    with pytest.raises(ConfigError, match="there is no recipe 'tiny'"):
        recipe("tiny")


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("fast", {"pixel_variance": 0.0}),
        ("fast", {"code": 0}),
        ("fast", {"learning_rate": float("inf")}),
        ("fast", {"perception": -1.0}),
        ("fast", {"clip": float("nan")}),
        ("paper", {"batch_size": 0}),
        ("paper", {"prior": -1e-4}),
    ],
)
def test_settings_out_of_range_are_refused(name, changed):
    (setting,) = changed
    with pytest.raises(ConfigError, match=f"{setting} is "):
        recipe(name, changed)

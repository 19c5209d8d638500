"""The recipes by name: a network, its loss and its optimiser each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.errors import ConfigError
from weakspot.state_model.batch import Batch, DataStatistics
from weakspot.state_model.fast import FastConfig, FastRecipe
from weakspot.state_model.flow import FlowConfig
from weakspot.state_model.paper import PaperConfig, PaperRecipe, too_large


@runtime_checkable
class Recipe(Protocol):
    """How a state model is built and trained.

    Its network has ``latent``, the length z of a code, ``encode``, f, from states to means and log-variances (b, z), and
    ``decode``, g, from codes to states.

    Attributes:
        config: its settings; has ``batch_size``.
        equation: its loss, for people.
        splits_batches: a batch may be worked on in parts, side by side.
        clip: largest norm of a gradient, or None.
        flow: the settings of the flow that is learned on the codes after training, or None.  Its network knows ``frames``.
        whitens: without a flow, a Gaussian is fitted to the codes.
        largest: the largest side of a frame in pixels that its network takes, or None.
    """

    config: Any
    equation: str
    splits_batches: bool
    whitens: bool
    largest: int | None
    clip: float | None
    flow: FlowConfig | None

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> Any: ...

    def changed(self, **settings: Any) -> Recipe: ...

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer: ...

    def learning_rate(self, progress: float, step: int) -> float: ...

    def loss(
        self, network: Any, batch: Batch, perceive: Perceiver, statistics: DataStatistics
    ) -> tuple[Tensor, dict[str, Tensor]]: ...


RECIPES: dict[str, Callable[[], Recipe]] = {
    "fast": lambda: FastRecipe(FastConfig()),
    "fast-gaussian": lambda: FastRecipe(FastConfig(), flow=None),
    "paper": lambda: PaperRecipe(PaperConfig()),
    "paper-attentive": lambda: PaperRecipe(PaperConfig(loss="attentive")),
    "paper-vae": lambda: PaperRecipe(PaperConfig(loss="vae")),
}
"""``fast`` is the default, ``fast-gaussian`` the same without the learned prior; ``paper`` is section 4.1, and the other two
are its ablations (table 1: L_p only, VAE)."""


def recipe(name: str, changed: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of that name, its default settings ``changed``; raises :class:`ConfigError` for an unknown name."""
    if name not in RECIPES:
        raise ConfigError(
            f"there is no recipe {name!r}",
            expected="one of " + ", ".join(RECIPES),
            todo="choose one of them with --train.recipe",
        )
    chosen = RECIPES[name]()
    return chosen.changed(**changed) if changed else chosen


def check_size(name: str, height: int, width: int) -> None:
    """Refuses frames that the recipe of that name cannot take (:class:`ConfigError`), before any are collected."""
    largest = recipe(name).largest
    if largest is not None and max(height, width) > largest:
        raise too_large(name, height, width)


def settings(chosen: Recipe) -> dict[str, Any]:
    """The settings of a recipe as plain data."""
    return dataclasses.asdict(chosen.config)


def all_settings(chosen: Recipe) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The settings of a recipe and those of its flow: all in it that changes what comes out of a training."""
    return settings(chosen), chosen.flow and dataclasses.asdict(chosen.flow)

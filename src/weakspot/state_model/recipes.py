"""The recipes by name: each is a network, its loss and its optimisers.

Another package adds a recipe by an entry point of the group ``weakspot.recipes`` that loads a :class:`Recipe`::

    [project.entry-points."weakspot.recipes"]
    vq = "their_package.recipes:VQ"
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, get_type_hints, runtime_checkable

import msgspec
import torch
from torch import Tensor

from weakspot.agents.base import Perceiver
from weakspot.errors import ConfigError, ExtensionError
from weakspot.state_model.batch import Batch, DataStatistics
from weakspot.state_model.flow import FlowConfig
from weakspot.state_model.frame_limit import too_large
from weakspot.state_model.recipe_names import REGISTRY


@runtime_checkable
class Recipe(Protocol):
    """How a state model is built and trained.

    Its network is a module with ``latent``, the length z of a latent; ``encode``, f, from states to means and log-variances
    (b, z); and ``decode``, g, from latents to states.

    Attributes:
        config: its settings, a frozen dataclass with ``batch_size``.
        equation: its loss, as text for the report.
        splits_batches: whether the parts of a batch may be computed by several workers.
        whitens: whether a Gaussian is fitted to the latents if there is no flow.
        largest: the largest side of a frame in pixels that its network takes, or None.
        clip: the largest norm of a gradient, or None.
        flow: settings of the flow that is trained on the latents after the network, or None.  With a flow, the network also
            has ``frames``, the number k of frames in a state.
    """

    config: Any
    equation: str
    splits_batches: bool
    whitens: bool
    largest: int | None
    clip: float | None
    flow: FlowConfig | None

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> Any:
        """The untrained network for states with these statistics, computing in ``precision`` if it can."""
        ...

    def changed(self, **settings: Any) -> Recipe:
        """The same recipe with other values of these settings of its ``config``."""
        ...

    def optimizers(self, network: Any) -> list[torch.optim.Optimizer]:
        """The optimisers, which share the parameters of the network among them."""
        ...

    def learning_rate(self, progress: float, step: int) -> float:
        """The learning rate of a step, counted from 0, when a share ``progress`` of the budget is used."""
        ...

    def loss(
        self, network: Any, batch: Batch, perceive: Perceiver, statistics: DataStatistics
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, averaged over the batch, and its unweighted terms by name."""
        ...


RECIPES = tuple(REGISTRY.builtin)
"""Names of the recipes that ship with the package."""


def recipe(name: str, changed: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe ``name``, with the settings ``changed``.

    Raises:
        ConfigError: there is no recipe of that name.
        ExtensionError: the package that provides it is broken.
    """
    if name not in REGISTRY:
        raise ConfigError(
            f"there is no recipe {name!r}",
            expected="one of " + ", ".join(REGISTRY.names()),
            todo="choose one of them with --train.recipe",
        )
    chosen = REGISTRY.load(name)
    if not isinstance(chosen, Recipe):
        raise ExtensionError(
            f"the recipe {name!r} is a {type(chosen).__name__}",
            expected="a weakspot.state_model.recipes.Recipe, with all its attributes",
            todo="update or remove the package that provides it",
        )
    return chosen.changed(**changed) if changed else chosen


def chosen_settings(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """The settings that users write as NAME=VALUE, with the types of the config of the recipe ``name``.

    Raises:
        ConfigError: a text is not NAME=VALUE, the recipe has no such setting, or its value has another type.
    """
    config = recipe(name).config
    types = get_type_hints(cast("type[Any]", type(config)))
    chosen: dict[str, Any] = {}
    for text in texts:
        setting, equals, value = text.partition("=")
        if not equals or setting not in types or setting in chosen:
            raise ConfigError(
                f"the recipe {name} cannot take the setting {text!r}",
                expected="NAME=VALUE, once each, with NAME one of " + ", ".join(types),
                todo="change --train.recipe-settings",
            )
        try:
            chosen[setting] = msgspec.convert(value, types[setting], strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"{setting}={value} of the recipe {name}: {error}",
                expected=f"a value like {getattr(config, setting)!r}",
                todo="change --train.recipe-settings",
            ) from error
    return chosen


def configured_recipe(name: str, texts: Sequence[str]) -> Recipe:
    """The recipe ``name`` with the settings that users write as NAME=VALUE; see :func:`chosen_settings`."""
    return recipe(name, chosen_settings(name, texts))


def check_size(name: str, height: int, width: int) -> None:
    """Raises :class:`ConfigError` for frames that are too large for the recipe ``name``."""
    largest = recipe(name).largest
    if largest is not None and max(height, width) > largest:
        raise too_large(name, height, width, largest)


def settings(chosen: Recipe) -> dict[str, Any]:
    """The settings of a recipe as plain data."""
    return dataclasses.asdict(chosen.config)


def all_settings(chosen: Recipe) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The settings of a recipe and those of its flow: everything in it that a trained model depends on."""
    return settings(chosen), chosen.flow and dataclasses.asdict(chosen.flow)

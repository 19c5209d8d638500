"""Searches with different weights of the regulariser, compared with the real states that are best under the same target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lab.cached_searches import cached_search
from lab.states import real_states, whole_states
from weakspot.analysis.diversity import mean_distance, vendi_score
from weakspot.analysis.features import features
from weakspot.analysis.objects.pong import pong_checks
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.data.dataset import as_stacks, as_state
from weakspot.errors import ConfigError
from weakspot.search.algorithm_1 import Findings, synthesize
from weakspot.search.config import SynthesisConfig
from weakspot.search.distribution import SearchDistribution
from weakspot.search.energy import measure_scale
from weakspot.search.method import Cost, SearchResult
from weakspot.search.starts import starts
from weakspot.session import Session
from weakspot.state_model import whitening
from weakspot.state_model.feeder import encoded
from weakspot.state_model.model import StateModel
from weakspot.state_model.recipes import RECIPES, recipe
from weakspot.system.progress import ProgressCallback
from weakspot.targets.base import Target
from weakspot.types import State

WITHOUT_FLOW = " without its flow"
"""Suffix of the names of models whose flow is left out."""


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes."""
    return tuple(RECIPES)


def recipes_with_flow() -> tuple[str, ...]:
    """The names of the recipes that train a flow."""
    return tuple(name for name in RECIPES if recipe(name).flow)


def model_names() -> tuple[str, ...]:
    """The recipes, and those with a flow also without it."""
    return (*recipe_names(), *(f"{name}{WITHOUT_FLOW}" for name in recipes_with_flow()))


@dataclass(frozen=True)
class ReferenceStates:
    """The real states under one target, which synthesised ones are compared with.

    Attributes:
        values: the target's values in all of them (n,).
        best: the best states (m, kc, h, w).
        vendi, distance: Vendi score and mean distance of the best states in the agent's features.
        valid: share of them that passes the object checks; None for games without checks.
    """

    values: np.ndarray
    best: State
    vendi: float
    distance: float
    valid: float | None


def valid_share(environment: str, states: State) -> float | None:
    """The share of states that passes the object checks; None for games without checks."""
    return float(pong_checks(as_stacks(states)).valid.mean()) if is_pong(environment) else None


def reference_states(session: Session, target: Target, width: float, count: int) -> ReferenceStates:
    """The real states under ``target``, with the ``count`` best; ``width`` is that of the Vendi score's kernel."""
    indices = whole_states(session.dataset)
    values = target(session.recorded_outputs(indices)).numpy()
    best = real_states(session, indices[np.argsort(values)[:count]])
    best_features = features(session.perceive, best)
    valid = valid_share(session.dataset.environment.id, best)
    return ReferenceStates(values, best, vendi_score(best_features, width), mean_distance(best_features), valid)


def compare_with_best(
    session: Session, states: State, target: np.ndarray, reference: ReferenceStates, width: float
) -> dict[str, float]:
    """Measures of synthesised states with the target's values (m,), relative to the best real states."""
    state_features, count = features(session.perceive, states), len(reference.best)
    values = reference.values
    measures = {
        "target_sd": float((values.mean() - target.mean()) / values.std()),
        "best_real_sd": float((values.mean() - np.sort(values)[:count].mean()) / values.std()),
        "beyond_99": float((target <= np.quantile(values, 0.01)).mean()),
        "vendi_ratio": vendi_score(state_features, width) / reference.vendi,
        "distance_ratio": mean_distance(state_features) / reference.distance,
        "valid": valid_share(session.dataset.environment.id, states),
        "best_real_valid": reference.valid,
    }
    return {name: round(value, 4) for name, value in measures.items() if value is not None}


def descend(
    session: Session, model: StateModel, config: SynthesisConfig, progress: ProgressCallback = lambda share, text: None
) -> Callable[[Target, float], Findings]:
    """Algorithm 1 as a function of the target and the weight of the regulariser; all searches share their candidates."""
    start = _starts(session, model, config)
    return lambda target, weight: _descend_from(
        session, model, start(target), target, replace(config, regulariser=weight), progress
    )


def _starts(session: Session, model: StateModel, config: SynthesisConfig) -> Callable[[Target], SearchDistribution]:
    dataset = session.dataset
    return starts(
        model, session.perceive_for_targets, config, lambda chosen: as_state(dataset.stacks(chosen)), session.trained_on
    )


def _descend_from(
    session: Session,
    model: StateModel,
    start: SearchDistribution,
    target: Target,
    config: SynthesisConfig,
    progress: ProgressCallback,
) -> Findings:
    scale = measure_scale(target, session.recorded_outputs(session.trained_on))
    return synthesize(
        model,
        session.perceive_for_targets,
        target,
        start,
        config,
        scale,
        progress=lambda done, total: progress(done / total, ""),
    )


class StoredDescents:
    """:func:`descend` with results in the store; candidates are drawn when the first search is needed.

    Args:
        session: with a state model.
        name: of the model, see :func:`model_names`.
        config: of the searches.
    """

    def __init__(self, session: Session, name: str, config: SynthesisConfig) -> None:
        self.session, self.name, self.config = session, name, config

    @cached_property
    def _descend(self) -> Callable[[Target, float], Findings]:
        return descend(self.session, self.model, self.config)

    @cached_property
    def model(self) -> StateModel:
        """The session's state model, without its flow if the name says so."""
        model = self.session.model
        return without_flow(model, self.session) if self.name.endswith(WITHOUT_FLOW) else model

    def __call__(self, target: Target, weight: float) -> SearchResult:
        """The states for a target and a weight of the regulariser."""
        settings: dict[str, Any] = {
            "method": "descent",
            "search": asdict(replace(self.config, regulariser=weight)),
            "flow": not self.name.endswith(WITHOUT_FLOW),
        }

        def search() -> SearchResult:
            result = self._descend(target, weight)
            return SearchResult(result.state, result.output, result.target, Cost())

        return cached_search(self.session, target, settings, search)


def without_flow(model: StateModel, session: Session) -> StateModel:
    """The same network, with a latent space that is only whitened.

    Raises:
        ConfigError: the model has no flow.
    """
    if "flow" not in model.info:
        raise ConfigError(f"a model of the recipe {model.info.get('recipe')} has no flow", expected="fast")
    latents = encoded(model.network, session.dataset, session.trained_on, model.device)
    info = {name: value for name, value in model.info.items() if name != "flow"}
    return replace(model, prior=whitening.fit(*latents).to(model.device), info=info)

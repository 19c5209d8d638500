"""Measures of the states that a method found: target value, novelty, diversity, object checks, and distance in features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lab.states import held_out_outputs, real_states, stacks_of, whole_states
from weakspot.analysis.diversity import mean_distance, typical_distance, vendi_score
from weakspot.analysis.features import features, frechet
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.novelty import Closest, closest
from weakspot.analysis.objects.pong import pong_checks
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.errors import ConfigError
from weakspot.intervals import bootstrap_mean, jackknife, wilson
from weakspot.search.method import SearchResult
from weakspot.session import Session
from weakspot.targets.base import Target
from weakspot.types import Stacks

SPLITS = 5
"""Random choices of real states that distances are averaged over."""
MEASURED = 2_000
"""Held-out states, at most, that reconstructions are measured on."""
HELD_OUT = "held-out real states"
"""Name of the row that shows the same measures for real states."""


@dataclass(frozen=True)
class ReferenceStats:
    """What the states of searches are compared with, for one agent and its recorded states.

    Attributes:
        session: of the agent.
        chosen: indices of held-out states, in random order (2n,).
        features: of these (2n, f).
        width: of the Vendi score's kernel.
    """

    session: Session
    chosen: np.ndarray
    features: torch.Tensor
    width: float

    def feature_distance(self, state_features: torch.Tensor) -> tuple[float, float]:
        """Fréchet distance of features (n, f) to those of held-out states, and its floor, the distance between two sets of
        held-out states.

        All sets have the same size, which the distance depends on. Both are means over random choices of real states.
        """
        count = min(len(state_features), len(self.features) // 2)
        generator = torch.Generator().manual_seed(0)
        distances, floors = [], []
        for _ in range(SPLITS):
            order = torch.randperm(len(self.features), generator=generator)
            first, second = self.features[order[:count]], self.features[order[count : 2 * count]]
            distances.append(frechet(state_features[:count], first))
            floors.append(frechet(first, second))
        return sum(distances) / SPLITS, sum(floors) / SPLITS

    def floor(self, chosen: np.ndarray) -> float:
        """The floor if only some held-out states are used, given by their positions."""
        generator, floors = torch.Generator().manual_seed(0), []
        for _ in range(SPLITS):
            order = torch.randperm(len(self.features), generator=generator).numpy()
            halves = np.split(order[: 2 * (len(order) // 2)], 2)
            first, second = (self.features[half[np.isin(half, chosen)]] for half in halves)
            count = min(len(first), len(second))
            floors.append(frechet(first[:count], second[:count]))
        return sum(floors) / SPLITS


def reference_stats(session: Session, count: int) -> ReferenceStats:
    """Measures the held-out states, for comparisons with the ``count`` states of a search.

    Raises:
        ConfigError: there are too few states to compare.
    """
    held_out = session.held_out
    if count < 3 or len(held_out) < 6:
        raise ConfigError(
            f"{count} states to be compared with {len(held_out)} held-out ones",
            expected="at least three, and at least six held-out ones",
            todo="ask for more --states, or collect more --frames",
        )
    chosen = np.random.default_rng(0).permutation(held_out)[: 2 * min(count, len(held_out) // 2)]
    reference_features = features(session.perceive, real_states(session, chosen))
    return ReferenceStats(session, chosen, reference_features, kernel_width(session))


def kernel_width(session: Session) -> float:
    """The typical distance of two recorded states in the agent's features, the width of the Vendi score's kernel."""
    chosen = np.random.default_rng(0).permutation(whole_states(session.dataset))[:500]
    return typical_distance(features(session.perceive, real_states(session, chosen)))


def measure_result(result: SearchResult, target: Target, reference: ReferenceStats) -> tuple[dict[str, Any], Closest]:
    """The measures of one method's states, with intervals, and the closest training state of each.

    The target's values are in standard deviations of the held-out states' values beyond their mean. Novelty is the mean
    squared error to the closest training state, and the share of pixels that differ from it (section 4.8). The distance in
    the agent's features is given with its floor, and divided by it.
    """
    session = reference.session
    real = target(held_out_outputs(session)).numpy()
    values = result.target.detach().cpu().numpy()
    state_features = features(session.perceive, result.state.detach())
    stacks = stacks_of(session, result.state)
    count, generator = len(values), np.random.default_rng(0)

    def distance(chosen: np.ndarray) -> float:
        return reference.feature_distance(state_features[chosen])[0]

    def over_floor(chosen: np.ndarray) -> float:
        distance, floor = reference.feature_distance(state_features[chosen])
        return distance / floor

    appearance, nearest = _appearance(stacks, state_features, reference)
    measures: dict[str, Any] = {
        "states": count,
        "target_sd": _rounded(bootstrap_mean((real.mean() - values) / real.std(), generator), 4),
        "beyond_the_best_held_out": wilson(int((values < real.min()).sum()), count),
        "feature_distance": _rounded(jackknife(distance, count, generator), 5),
        "feature_distance_floor": reference.feature_distance(state_features)[1],
        "feature_distance_over_floor": _rounded(jackknife(over_floor, count, generator), 4),
        **appearance,
        "passes": {"model": result.cost.model, "agent": result.cost.agent},
    }
    return measures, nearest


def measure_real(reference: ReferenceStats) -> dict[str, Any]:
    """The same measures for as many held-out states; their distance in features is the floor of all others."""
    half = len(reference.chosen) // 2
    floor = jackknife(reference.floor, len(reference.chosen), np.random.default_rng(0))
    stacks = reference.session.dataset.stacks(reference.chosen[:half])
    appearance, _ = _appearance(stacks, reference.features[:half], reference)
    return {"states": half, "feature_distance": _rounded(floor, 5), **appearance}


def _appearance(stacks: Stacks, state_features: torch.Tensor, reference: ReferenceStats) -> tuple[dict[str, Any], Closest]:
    """The measures of states that do not depend on the target, from their stacks and their features (n, f)."""
    session, count, generator = reference.session, len(stacks), np.random.default_rng(0)
    nearest, passed = closest_training_states(session, stacks), passed_checks(session, stacks)
    return {
        "closest_mse": _rounded(bootstrap_mean(nearest.mse, generator), 6),
        "differing_pixels": _rounded(bootstrap_mean(nearest.differing_share, generator), 5),
        "vendi": _rounded(
            jackknife(lambda chosen: vendi_score(state_features[chosen], reference.width), count, generator), 4
        ),
        "mean_feature_distance": _rounded(
            jackknife(lambda chosen: mean_distance(state_features[chosen]), count, generator), 4
        ),
        "valid": None if passed is None else wilson(int(passed.sum()), count),
    }, nearest


def closest_training_states(session: Session, stacks: Stacks) -> Closest:
    """The closest training state of each stack, in mean squared error."""
    return closest(stacks, session.dataset.stacks, session.trained_on)


def passed_checks(session: Session, stacks: Stacks) -> np.ndarray | None:
    """Which states pass the object checks (n,); None for games without object checks."""
    return pong_checks(stacks).valid if is_pong(session.dataset.environment.id) else None


def reconstruction_measures(session: Session, indices: np.ndarray) -> dict[str, float]:
    """Measures of the reconstructions of at most :data:`MEASURED` random states of ``indices``: mean squared error, the
    agent's outputs, and the recall of objects."""
    chosen = np.sort(np.random.default_rng(0).permutation(indices)[:MEASURED])
    return fidelity(session.model, session.perceive, session.dataset, chosen).line()


def _rounded(interval: tuple[float, float, float], digits: int) -> list[float]:
    return [round(value, digits) for value in interval]

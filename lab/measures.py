"""What is said of the states that a method found: how far they go, how new they are, whether they could be and differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.validity import usual_distance
from lab.prepared import Prepared
from weakspot.analysis.diversity import mean_distance, vendi_score
from weakspot.analysis.features import features, frechet
from weakspot.analysis.novelty import Closest, closest
from weakspot.analysis.objects.pong import pong_checks
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.data.dataset import as_stacks, as_state, recorded_outputs
from weakspot.errors import ConfigError
from weakspot.intervals import bootstrap_mean, jackknife, wilson
from weakspot.search.method import Found
from weakspot.targets.base import Target
from weakspot.types import Stacks

SPLITS = 5
"""Halvings of the real states that the floor is the mean of."""
HELD_OUT = "held-out real states"
"""The name of the line that says what is usual among real states."""


@dataclass(frozen=True)
class Yard:
    """What found states are held against, for one agent and its rollouts.

    Attributes:
        there: the agent and its rollouts.
        chosen: held-out real states, in random order (2n,).
        features: of these (2n, f).
        width: of the Vendi score's kernel.
    """

    there: Prepared
    chosen: np.ndarray
    features: torch.Tensor
    width: float

    def feature_distance(self, made: torch.Tensor) -> tuple[float, float]:
        """Frechet's distance of features (n, f) from those of as many held-out states, and its floor: the same between two
        halves of the held-out states.  All sets are of one size, which the distance depends on, and both are means over
        some ways to choose the real ones."""
        count = min(len(made), len(self.features) // 2)
        generator = torch.Generator().manual_seed(0)
        distances, floors = [], []
        for _ in range(SPLITS):
            order = torch.randperm(len(self.features), generator=generator)
            one, other = self.features[order[:count]], self.features[order[count : 2 * count]]
            distances.append(frechet(made[:count], one))
            floors.append(frechet(one, other))
        return sum(distances) / SPLITS, sum(floors) / SPLITS

    def floor(self, chosen: np.ndarray) -> float:
        """The floor, with those held-out states only that are ``chosen``, by their places."""
        generator, floors = torch.Generator().manual_seed(0), []
        for _ in range(SPLITS):
            order = torch.randperm(len(self.features), generator=generator).numpy()
            halves = np.split(order[: 2 * (len(order) // 2)], 2)
            one, other = (self.features[half[np.isin(half, chosen)]] for half in halves)
            count = min(len(one), len(other))
            floors.append(frechet(one[:count], other[:count]))
        return sum(floors) / SPLITS


def yard(there: Prepared, count: int) -> Yard:
    """Measures the real states, for comparisons of ``count`` states.

    Raises:
        ConfigError: there are too few states to compare.
    """
    if count < 3 or len(there.held) < 6:
        raise ConfigError(
            f"{count} states to be compared with {len(there.held)} held-out ones",
            expected="three at least, and six held-out ones",
            todo="ask for more --states, or collect more --frames",
        )
    chosen = np.random.default_rng(0).permutation(there.held)[: 2 * min(count, len(there.held) // 2)]
    seen = features(there.subject.perceive, as_state(there.dataset.stacks(chosen)))
    return Yard(there, chosen, seen, usual_distance(there.subject, there.dataset))


def measured(found: Found, target: Target, known: Yard) -> tuple[dict[str, Any], Closest]:
    """The line of one method, and the closest training state of each of its states.

    The target's values are in standard deviations of those of the held-out real states, above their mean as the target
    counts; novelty is in mean squared error and in the share of pixels that differ (section 4.8); the distance in the
    agent's features stands there with its floor, and over it.  All with their intervals.
    """
    there = known.there
    real = target(recorded_outputs(there.dataset, there.held)).numpy()
    values = found.target.detach().cpu().numpy()
    made = features(there.subject.perceive, found.state.detach())
    stacks = as_stacks(found.state.detach().cpu(), there.dataset.environment.channels)
    count, generator = len(values), np.random.default_rng(0)

    def distance(chosen: np.ndarray) -> float:
        return known.feature_distance(made[chosen])[0]

    def over_floor(chosen: np.ndarray) -> float:
        apart, floor = known.feature_distance(made[chosen])
        return apart / floor

    looks, near = _looks(stacks, made, known)
    line: dict[str, Any] = {
        "states": count,
        "target_sd": _rounded(bootstrap_mean((real.mean() - values) / real.std(), generator), 4),
        "beyond_the_best_held_out": wilson(int((values < real.min()).sum()), count),
        "feature_distance": _rounded(jackknife(distance, count, generator), 5),
        "feature_distance_floor": known.feature_distance(made)[1],
        "feature_distance_over_floor": _rounded(jackknife(over_floor, count, generator), 4),
        **looks,
        "passes": {"model": found.cost.model, "agent": found.cost.agent},
    }
    return line, near


def usual(known: Yard) -> dict[str, Any]:
    """The same of held-out real states, as many as are compared; their distance in features is the floor of all others."""
    half = len(known.chosen) // 2
    floor = jackknife(known.floor, len(known.chosen), np.random.default_rng(0))
    looks, _ = _looks(known.there.dataset.stacks(known.chosen[:half]), known.features[:half], known)
    return {"states": half, "feature_distance": _rounded(floor, 5), **looks}


def _looks(stacks: Stacks, made: torch.Tensor, known: Yard) -> tuple[dict[str, Any], Closest]:
    """What is said of states, whatever the target is, by their pictures and their features (n, f)."""
    there, count, generator = known.there, len(stacks), np.random.default_rng(0)
    near, passed = closest(stacks, there.dataset, there.trained), passing(there, stacks)
    return {
        "closest_mse": _rounded(bootstrap_mean(near.mse, generator), 6),
        "differing_pixels": _rounded(bootstrap_mean(near.differing_share, generator), 5),
        "vendi": _rounded(jackknife(lambda chosen: vendi_score(made[chosen], known.width), count, generator), 4),
        "mean_feature_distance": _rounded(jackknife(lambda chosen: mean_distance(made[chosen]), count, generator), 4),
        "valid": None if passed is None else wilson(int(passed.sum()), count),
    }, near


def passing(there: Prepared, stacks: Stacks) -> np.ndarray | None:
    """Which states pass the object checks (n,), or None where there are none for the game."""
    return pong_checks(stacks).valid if is_pong(there.dataset.environment.id) else None


def _rounded(interval: tuple[float, float, float], digits: int) -> list[float]:
    return [round(value, digits) for value in interval]

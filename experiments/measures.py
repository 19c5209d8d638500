"""What is said of the states that a method found: how far they go, how new they are, whether they could be and differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.validity import usual_distance, valid_share
from experiments.prepared import Prepared
from weakspot.analysis.diversity import mean_distance, vendi_score
from weakspot.analysis.features import features, frechet
from weakspot.analysis.intervals import bootstrap_mean, jackknife, wilson
from weakspot.analysis.novelty import Closest, closest
from weakspot.baselines.method import Found
from weakspot.dataset import as_stacks, as_state
from weakspot.errors import ConfigError
from weakspot.pipeline import real_answers
from weakspot.targets import Target

SPLITS = 5
"""Halvings of the real states that the floor is the mean of."""


@dataclass(frozen=True)
class Yard:
    """What found states are held against, for one agent and its rollouts.

    Attributes:
        there: the agent and its rollouts.
        features: of held-out real states, in random order (2n, f).
        width: of the Vendi score's kernel.
    """

    there: Prepared
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


def yard(there: Prepared, count: int) -> Yard:
    """Measures the real states, for comparisons of ``count`` states.

    Raises:
        ConfigError: there are too few states to compare.
    """
    if count < 3 or len(there.held) < 4:
        raise ConfigError(
            f"{count} states to be compared with {len(there.held)} held-out ones",
            expected="three at least, and four held-out ones",
            todo="ask for more --states, or collect more --frames",
        )
    chosen = np.random.default_rng(0).permutation(there.held)[: 2 * min(count, len(there.held) // 2)]
    seen = features(there.subject.perceive, as_state(there.dataset.stacks(chosen)))
    return Yard(there, seen, usual_distance(there.subject, there.dataset))


def measured(found: Found, target: Target, known: Yard) -> tuple[dict[str, Any], Closest]:
    """The line of one method, and the closest training state of each of its states.

    The target's values are in standard deviations of those of the held-out real states, above their mean as the target
    counts; novelty is in mean squared error and in the share of pixels that differ (section 4.8); the distance in the
    agent's features is over its floor.  All with their intervals.
    """
    there = known.there
    real = target(real_answers(there.dataset, there.held)).numpy()
    values = found.target.detach().cpu().numpy()
    stacks = as_stacks(found.state.detach().cpu(), there.dataset.environment.channels)
    near = closest(stacks, there.dataset, there.trained)
    made = features(there.subject.perceive, found.state.detach())
    valid = valid_share(there.dataset.environment.id, found.state.detach().cpu())
    count, generator = len(values), np.random.default_rng(0)

    def over_floor(chosen: np.ndarray) -> float:
        distance, floor = known.feature_distance(made[chosen])
        return distance / floor

    line: dict[str, Any] = {
        "states": count,
        "target_sd": _rounded(bootstrap_mean((real.mean() - values) / real.std(), generator), 4),
        "beyond_the_best_held_out": wilson(int((values < real.min()).sum()), count),
        "closest_mse": _rounded(bootstrap_mean(near.mse, generator), 6),
        "differing_pixels": _rounded(bootstrap_mean(near.differing_share, generator), 5),
        "feature_distance_over_floor": _rounded(jackknife(over_floor, count, generator), 4),
        "vendi": _rounded(jackknife(lambda chosen: vendi_score(made[chosen], known.width), count, generator), 4),
        "mean_feature_distance": _rounded(jackknife(lambda chosen: mean_distance(made[chosen]), count, generator), 4),
        "passes": {"model": found.cost.model, "agent": found.cost.agent},
    }
    if valid is not None:
        line["valid"] = wilson(round(valid * count), count)
    return line, near


def _rounded(interval: tuple[float, float, float], digits: int) -> list[float]:
    return [round(value, digits) for value in interval]

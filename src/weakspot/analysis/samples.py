"""Random samples of a state model: what it takes for a state when nobody asks for anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from weakspot.agents.base import Perceiver
from weakspot.analysis.features import features, frechet
from weakspot.analysis.pong_objects import PongChecks, pong_checks
from weakspot.dataset import StateDataset, as_stacks, as_state
from weakspot.state_model.model import StateModel
from weakspot.types import Stacks, State


@dataclass(frozen=True)
class Samples:
    """Random samples held against real states.

    Attributes:
        stacks: the samples (n, k, h, w, 3).
        distance: Frechet's distance in the agent's features between them and as many real states.
        floor: that distance between two halves of the real states.
        checks: of the samples' objects, in Pong.
        real_checks: of the real states' objects, in Pong.
    """

    stacks: Stacks
    distance: float
    floor: float
    checks: PongChecks | None
    real_checks: PongChecks | None

    def record(self) -> dict[str, object]:
        """The measures as plain data."""
        record: dict[str, object] = {
            "count": len(self.stacks),
            "feature_distance": round(self.distance, 4),
            "feature_distance_floor": round(self.floor, 4),
        }
        if self.checks is not None and self.real_checks is not None:
            record |= {"checks": self.checks.line(), "real_checks": self.real_checks.line()}
        return record


def draw(model: StateModel, count: int, seed: int = 0) -> State:
    """``count`` random samples, g(u) of u ~ N(0, I)."""
    noise = torch.randn(count, model.latent, generator=torch.Generator().manual_seed(seed)).to(model.device)
    with torch.no_grad():
        return torch.cat([model.generate(part) for part in noise.split(64)])


def measure_samples(
    model: StateModel, perceive: Perceiver, dataset: StateDataset, held: np.ndarray, most: int = 200, seed: int = 0
) -> Samples:
    """Draws as many samples as there are real states in half of ``held``, ``most`` at most, and measures them.

    Args:
        model: the state model.
        perceive: A(s).
        dataset: real states.
        held: indices of at least four that the model was not trained on.
        most: largest number of samples.
        seed: of the samples, and of the choice of real states.
    """
    count = min(most, len(held) // 2)
    chosen = np.random.default_rng([seed, 4]).permutation(held)[: 2 * count]
    real = features(perceive, as_state(dataset.stacks(chosen)))
    state = draw(model, count, seed)
    stacks = as_stacks(state.cpu())
    pong = dataset.environment.id.removeprefix("ALE/").startswith("Pong")
    return Samples(
        stacks=stacks,
        distance=frechet(features(perceive, state), real[count:]),
        floor=frechet(real[:count], real[count:]),
        checks=pong_checks(stacks) if pong else None,
        real_checks=pong_checks(dataset.stacks(chosen)) if pong else None,
    )

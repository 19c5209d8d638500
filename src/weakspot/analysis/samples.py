"""Made states held against real ones, above all random samples: what a state model takes for a state unasked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weakspot.agents.base import Perceiver
from weakspot.analysis.features import features, frechet
from weakspot.analysis.objects.pong import PongChecks, pong_checks
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.data.dataset import StateDataset, as_stacks, as_state
from weakspot.envs.base import EnvironmentSpec
from weakspot.state_model.model import StateModel
from weakspot.types import Stacks, State


@dataclass(frozen=True)
class Samples:
    """Made states held against real ones.

    Attributes:
        stacks: the made states (n, k, h, w, 3).
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


def compare(made: State, real: Float[Tensor, "m kc h w"], perceive: Perceiver, environment: EnvironmentSpec) -> Samples:
    """Holds made states (n, kc, h, w) against twice as many real ones (2n, kc, h, w) of ``environment``."""
    count = len(made)
    known = features(perceive, real)
    stacks, pong = as_stacks(made, environment.channels), is_pong(environment.id)
    return Samples(
        stacks=stacks,
        distance=frechet(features(perceive, made), known[count:]),
        floor=frechet(known[:count], known[count:]),
        checks=pong_checks(stacks) if pong else None,
        real_checks=pong_checks(as_stacks(real)) if pong else None,
    )


def measure_samples(
    model: StateModel, perceive: Perceiver, dataset: StateDataset, held: np.ndarray, most: int = 200, seed: int = 0
) -> Samples:
    """Draws as many samples as there are real states in half of ``held``, ``most`` at most, and compares them.

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
    return compare(draw(model, count, seed), as_state(dataset.stacks(chosen)), perceive, dataset.environment)

"""Comparison of synthesised states with real ones, above all of random samples of the state model."""

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
    """Synthesised states compared with real ones.

    Attributes:
        stacks: the synthesised states (n, k, h, w, c).
        distance: Frechet distance in the agent's features between them and n real states.
        floor: the same distance between n real states and n others.
        checks: object checks of the synthesised states, in Pong; None in other games.
        real_checks: object checks of the real states, in Pong; None in other games.
    """

    stacks: Stacks
    distance: float
    floor: float
    checks: PongChecks | None
    real_checks: PongChecks | None

    def record(self) -> dict[str, object]:
        """The measures as plain data, rounded to 4 digits."""
        record: dict[str, object] = {
            "count": len(self.stacks),
            "feature_distance": round(self.distance, 4),
            "feature_distance_floor": round(self.floor, 4),
        }
        if self.checks is not None and self.real_checks is not None:
            record |= {"checks": self.checks.line(), "real_checks": self.real_checks.line()}
        return record


def draw_samples(model: StateModel, count: int, seed: int = 0) -> State:
    """``count`` random samples g(u), u ~ N(0, I), of the state model (n, kc, h, w) in [0, 1]."""
    noise = torch.randn(count, model.latent, generator=torch.Generator().manual_seed(seed)).to(model.device)
    with torch.no_grad():
        return torch.cat([model.generate(part) for part in torch.split(noise, 64)])


def compare_samples(
    synthesised: State, real: Float[Tensor, "m kc h w"], perceive: Perceiver, environment: EnvironmentSpec
) -> Samples:
    """Compares synthesised states with real ones.

    Args:
        synthesised: synthesised states (n, kc, h, w) in [0, 1].
        real: twice as many real states (2n, kc, h, w) in [0, 1].
        perceive: A(s).
        environment: of the real states.
    """
    count = len(synthesised)
    real_features = features(perceive, real)
    stacks, pong = as_stacks(synthesised, environment.channels), is_pong(environment.id)
    return Samples(
        stacks=stacks,
        distance=frechet(features(perceive, synthesised), real_features[count:]),
        floor=frechet(real_features[:count], real_features[count:]),
        checks=pong_checks(stacks) if pong else None,
        real_checks=pong_checks(as_stacks(real)) if pong else None,
    )


def measure_samples(
    model: StateModel,
    perceive: Perceiver,
    dataset: StateDataset,
    held_out: np.ndarray,
    max_samples: int = 200,
    seed: int = 0,
) -> Samples:
    """Draws random samples, half as many as there are held-out states and at most ``max_samples``, and compares both.

    Args:
        model: the state model.
        perceive: A(s).
        dataset: real states.
        held_out: indices of held-out states, at least four.
        max_samples: maximum number of samples.
        seed: of the samples, and of the choice of real states.
    """
    count = min(max_samples, len(held_out) // 2)
    chosen = np.random.default_rng([seed, 4]).permutation(held_out)[: 2 * count]
    return compare_samples(draw_samples(model, count, seed), as_state(dataset.stacks(chosen)), perceive, dataset.environment)

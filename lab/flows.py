"""Flows with other settings, trained on the latents of one state model for equal processor time or steps."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weakspot.analysis.features import features, frechet
from weakspot.analysis.objects.pong import pong_checks
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.analysis.samples import draw_samples
from weakspot.data.dataset import as_stacks, as_state
from weakspot.session import Session
from weakspot.state_model.feeder import encoded
from weakspot.state_model.flow import FlowConfig, FlowPrior, Velocity
from weakspot.state_model.flow_training import FlowTrainer, Posteriors, matching_loss
from weakspot.state_model.muon import POLYNOMIALS, Polynomials
from weakspot.state_model.whitening import fit_frames
from weakspot.system.training_loop import budget
from weakspot.types import Latent

FIVE_ITERATIONS = ((3.4445, -4.7750, 2.0315),) * 5
"""Muon's polynomials as published (Jordan et al. 2024)."""
BATCH = 500
"""Held-out latents whose loss is computed at once."""
RECENT = 50
"""Last steps over which the training loss is averaged."""


@dataclass(frozen=True)
class FlowVariant:
    """A flow with other settings.

    Attributes:
        name: of the variant.
        config: of the flow.
        polynomials: of its optimiser.
    """

    name: str
    config: FlowConfig
    polynomials: Polynomials = POLYNOMIALS


def variant(words: str) -> FlowVariant:
    """The variant that words such as ``batch_size=512 learning_rate=0.012`` describe.

    ``five-iterations`` stands for the optimiser as published, ``default`` for no change.
    """
    changes: dict[str, Any] = {}
    polynomials = POLYNOMIALS
    for word in words.split():
        if word == "five-iterations":
            polynomials = FIVE_ITERATIONS
        elif word != "default":
            name, _, value = word.partition("=")
            changes[name] = type(asdict(FlowConfig())[name])(float(value))
    return FlowVariant(words, replace(FlowConfig(), **changes), polynomials)


@dataclass(frozen=True, eq=False)
class Ground:
    """What all variants are trained and measured on.

    Attributes:
        session: with a trained state model.
        training, held_out: the encoder's distributions of latents.
        frames: of a state.
        real: held-out states (2n, kc, h, w), and their features.
        dtype: number format of the products.
    """

    session: Session
    training: Posteriors
    held_out: Posteriors
    frames: int
    real: Tensor
    features: Tensor
    dtype: torch.dtype

    @property
    def floor(self) -> float:
        """The feature distance between the two halves of the held-out states."""
        half = len(self.features) // 2
        return frechet(self.features[:half], self.features[half:])


def prepare(session: Session, samples: int) -> Ground:
    """Encodes all states of a session."""
    model, dataset, device = session.model, session.dataset, session.subject.agent.device
    chosen = np.random.default_rng(4).permutation(session.held_out)[: 2 * samples]
    real = as_state(dataset.stacks(chosen))
    parts: list[Posteriors] = []
    frames = model.network.frames
    means, log_variances = encoded(model.network, dataset, session.trained_on, device)
    whitening = fit_frames(means, log_variances, frames)
    for mean, log_variance in ((means, log_variances), encoded(model.network, dataset, session.held_out, device)):
        parts.append(Posteriors(mean, torch.exp(0.5 * log_variance), whitening))
    return Ground(session, parts[0], parts[1], frames, real, features(session.perceive, real), model.network.precision)


def measured(ground: Ground, chosen: FlowVariant, seed: int, steps: int, seconds: float) -> dict[str, Any]:
    """Trains a variant for ``steps``, or for processor seconds if they are 0, and measures its loss and its samples."""
    used_share = budget(steps, seconds)
    trainer = FlowTrainer(ground.training, ground.frames, chosen.config, seed, ground.dtype, chosen.polynomials)
    used, losses = 0.0, [math.nan]
    while (share := used_share(len(losses) - 1, used)) < 1:
        started = time.process_time()
        trainer.step(share, len(losses) - 1)
        used += time.process_time() - started
        losses.append(trainer.loss)
    velocity = trainer.average.eval()
    prior = FlowPrior(ground.training.whitening, velocity, chosen.config.integration)
    return {
        "variant": chosen.name,
        "seed": seed,
        "steps": len(losses) - 1,
        "seconds": round(used, 1),
        "loss": float(np.mean(losses[1:][-RECENT:])),
        "held_out_loss": _held_out_loss(ground, velocity),
        **_samples(ground, prior),
    }


def _held_out_loss(ground: Ground, velocity: Velocity) -> float:
    """The loss of held-out latents, with the same noise for all variants."""
    posteriors, count = ground.held_out, len(ground.held_out.means)
    generator = torch.Generator().manual_seed(5)
    encoder_noise, noise = torch.randn(2, *posteriors.means.shape, generator=generator)
    latents: Latent = posteriors.sample(torch.arange(count), encoder_noise)
    t = (torch.arange(count) + 0.5) / count
    parts = zip(noise.split(BATCH), latents.split(BATCH), t.split(BATCH), strict=True)
    with torch.no_grad():
        return float(np.mean([matching_loss(velocity, *part).item() for part in parts]))


def _samples(ground: Ground, prior: FlowPrior) -> dict[str, Any]:
    """The share of samples that pass the object checks, and their feature distance over the floor."""
    half = len(ground.features) // 2
    states = draw_samples(replace(ground.session.model, prior=prior), half)
    distance = frechet(features(ground.session.perceive, states), ground.features[half:]) / ground.floor
    pong = is_pong(ground.session.dataset.environment.id)
    valid = float(pong_checks(as_stacks(states)).valid.mean()) if pong else None
    return {"valid": valid, "feature_distance_over_floor": distance}

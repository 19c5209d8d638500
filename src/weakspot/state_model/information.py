"""How much the latents of a state model say about a state.

A VAE can lower its loss by ignoring its latents: the encoder then returns the prior N(0, I) for every state, and the decoder
draws the same frame for all of them.  The KL shows it: it bounds the mutual information of state and latent from above.
"""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.state_model.config import collapse_words, is_collapsed
from weakspot.state_model.losses import prior
from weakspot.types import Latent

ACTIVE = 0.01
"""Variance over states of the posterior's mean above which a latent dimension is in use (Burda et al. 2016)."""


@dataclass(frozen=True)
class Information:
    """What the latents carry, over a set of states.

    Attributes:
        kl: mean of KL(f(s), N(0, I)), in nats.
        active: number of latent dimensions in use, those whose posterior mean varies by more than :data:`ACTIVE`.
        latent: number of latent dimensions.
    """

    kl: float
    active: int
    latent: int

    @property
    def collapsed(self) -> bool:
        """Whether the latents say next to nothing about a state."""
        return is_collapsed(self.kl, self.active)


def information(mean: Latent, log_variance: Latent) -> Information:
    """Measures the posteriors N(mean, exp(log_variance)) of several states (n, z)."""
    kl = max(prior(mean.double(), log_variance.double()).mean().item(), 0.0)
    active = int((mean.var(dim=0, correction=0) > ACTIVE).sum())
    return Information(kl, active, mean.shape[1])


def collapse_message(kl: float, recipe: str) -> str:
    """The warning about a collapsed posterior: what was measured, what it means, and what to change."""
    todo = (
        "raise the scale of the squared error, as in --train.recipe-settings scale=65025, or use the recipe fast"
        if recipe.startswith("paper")
        else "raise the weight of the reconstruction against the KL, or train longer"
    )
    seen = collapse_words(kl, f"{kl:.2g}")
    return f"{seen}, so the state model decodes nearly the same frame for every state and its searches find nothing: {todo}"

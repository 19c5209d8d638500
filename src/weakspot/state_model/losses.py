"""The three terms of the state model's loss (paper, equations 1 to 3).

Each term is a function of one batch and returns one number a state, so that a recipe can weigh and average them.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from weakspot.types import Latent, PerState, State


def reconstruction(real: State, reconstructed: State, weights: Float[Tensor, "b kc h w"] | Tensor) -> PerState:
    """Weighted squared error of each state: ``sum_i weights_i (g(z)_i - s_i)^2`` (eq. 2).

    Args:
        real: the states s (b, kc, h, w).
        reconstructed: g(z), the same shape.
        weights: broadcastable to the states.  In the paper they are the agent's saliency, normalised to sum 1 a state.
    """
    return (weights * (reconstructed - real).square()).sum(dim=(1, 2, 3))


def perception(real: Tensor, reconstructed: Tensor, scale: Tensor | float = 1.0) -> PerState:
    """Squared distance of the agent's answers to each state and its reconstruction (eq. 3).

    Args:
        real: A(s), everything the agent answered (b, n).
        reconstructed: A(g(z)) (b, n).
        scale: divides each squared difference; (n,) or a number.  The paper's is 1.
    """
    return ((reconstructed - real).square() / scale).sum(dim=1)


def prior(mean: Latent, log_variance: Latent) -> PerState:
    """KL(N(mean, exp(log_variance)) || N(0, I)) of each state, in nats (eq. 1, last term)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)

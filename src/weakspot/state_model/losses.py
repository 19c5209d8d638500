"""The three terms of the state model's loss (paper, equations 1 to 3).

Each term maps a batch to one number for each state, so that a recipe can weight and average them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from weakspot.types import Latent, PerState, State


class _WeightedSquares(torch.autograd.Function):
    """``sum_i w_i d_i^2`` of each state.

    It is among the most expensive parts of a training step, because states are large.  This function needs a third of the
    memory traffic of the same formula in separate operations.
    """

    @staticmethod
    def forward(context: Any, difference: State, weights: Tensor) -> PerState:
        weighted = difference * weights
        context.save_for_backward(weighted)
        return (weighted * difference).sum(dim=(1, 2, 3))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator's stub drops parameter names
        context: Any, grad_output: PerState
    ) -> tuple[State, None]:
        (weighted,) = context.saved_tensors
        return weighted * (2.0 * grad_output[:, None, None, None]), None


def reconstruction(real: State, reconstructed: State, weights: Tensor) -> PerState:
    """Weighted squared error of each state: ``sum_i weights_i (g(z)_i - s_i)^2`` (eq. 2).

    Args:
        real: the states s (b, kc, h, w).
        reconstructed: g(z), the same shape.
        weights: broadcastable to the states.  In the paper they are the agent's saliency, normalised to a sum of 1 in
            each state.  They get no gradient.
    """
    return cast(Any, _WeightedSquares).apply(reconstructed - real, weights)


def perception(real: Tensor, reconstructed: Tensor, scale: Tensor | float = 1.0) -> PerState:
    """Squared distance between the agent's outputs for each state and for its reconstruction (eq. 3).

    Args:
        real: A(s), all outputs of the agent (b, n).
        reconstructed: A(g(z)) (b, n).
        scale: divides each squared difference; (n,) or a number.  The paper's is 1.
    """
    return ((reconstructed - real).square() / scale).sum(dim=1)


def prior(mean: Latent, log_variance: Latent) -> PerState:
    """KL(N(mean, exp(log_variance)) || N(0, I)) of each state, in nats (eq. 1, last term)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)

"""Saliency: where the agent looks, |gradient| of the best score (eq. 2) by the rule of the Perceiver."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from weakspot.agents.base import Perceiver
from weakspot.options import SaliencyRule
from weakspot.saliency.gradient import plain_gradient
from weakspot.saliency.guided import guided_gradient
from weakspot.types import Observation, State

RULES: dict[SaliencyRule, Callable[[Perceiver, State], Observation]] = {
    "guided": guided_gradient,
    "gradient": plain_gradient,
}
"""The saliency rules by name."""


def saliency(perceive: Perceiver, state: State) -> Float[Tensor, "b k h w"]:
    """|gradient| of :func:`~weakspot.saliency.scalar.explained_scalar` for each pixel of the observation (b, k, h, w), not
    normalised.

    For policy agents the score is the log-probability.

    Args:
        perceive: the agent behind the observation function; its ``rule`` selects guided backpropagation or the gradient.
        state: states (b, kc, h, w) in [0, 1].

    Raises:
        SaliencyError: see :func:`~weakspot.saliency.guided.guided_gradient` and
            :func:`~weakspot.saliency.gradient.plain_gradient`.
    """
    return RULES[perceive.rule](perceive, state).abs()

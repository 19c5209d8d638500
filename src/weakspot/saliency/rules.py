"""The saliency rules by name."""

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


def saliency(perceive: Perceiver, state: State) -> Float[Tensor, "b k h w"]:
    """|gradient| of :func:`explained` for each pixel of the observation (b, k, h, w), not normalised.

    For policy agents the score is the log-probability.  Raises what :func:`guided_gradient` raises, where that is the rule.
    """
    return RULES[perceive.rule](perceive, state).abs()

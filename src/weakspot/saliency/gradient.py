"""The ordinary gradient, for networks that guided backpropagation does not support."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from weakspot.agents.base import Perceiver
from weakspot.saliency.scalar import check_finite, explained_scalar, not_differentiable
from weakspot.types import Observation, State


def plain_gradient(perceive: Perceiver, state: State) -> Observation:
    """The gradient of :func:`~weakspot.saliency.scalar.explained_scalar` for each pixel of the observation (b, k, h, w).

    Args:
        perceive: the agent behind the observation function.
        state: states (b, kc, h, w) in [0, 1].

    Raises:
        SaliencyError: the agent's output is not differentiable, or the gradient is not finite.
    """
    with torch.inference_mode(False), torch.enable_grad():
        observation = perceive.observe(state).detach().clone().requires_grad_()
        number = explained_scalar(perceive.agent.spec)(perceive.agent_in(state)(observation.clone())).sum()
        if not number.requires_grad:
            raise not_differentiable(perceive)
        (gradient,) = cast("tuple[Tensor | None]", torch.autograd.grad(number, [observation], allow_unused=True))
    if gradient is None:
        raise not_differentiable(perceive)
    return check_finite(gradient, perceive)

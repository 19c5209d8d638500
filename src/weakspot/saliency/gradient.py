"""Saliency by the plain gradient."""

from __future__ import annotations

import torch

from weakspot.agents.base import Perceiver
from weakspot.saliency.scalar import check_finite, explained, not_differentiable
from weakspot.types import Observation, State


def plain_gradient(perceive: Perceiver, state: State) -> Observation:
    """The ordinary gradient of :func:`explained` for each pixel of the observation (b, k, h, w).

    Raises:
        SaliencyError: it is not finite, or there is none.
    """
    with torch.inference_mode(False), torch.enable_grad():
        observation = perceive.observe(state).detach().clone().requires_grad_()
        number = explained(perceive.agent.spec)(perceive.agent(observation.clone())).sum()
        found = torch.autograd.grad(number, [observation], allow_unused=True)[0] if number.requires_grad else None
    if found is None:
        raise not_differentiable(perceive)
    return check_finite(found, perceive)

"""The scalar that saliency explains (section 4.5): the best score, or the size of a continuous action.

    discrete actions:      pi(s) = max_a A(s)_a
    continuous actions:    sum_i |A(s)_i| / (high_i - low_i)

Continuous actions have no best one among them; their size is measured in units of each dimension's range.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from weakspot.agents.base import AgentOutput, AgentSpec, Perceiver, bound_tensors
from weakspot.errors import SaliencyError
from weakspot.types import Bounds, PerState


def best_score(output: AgentOutput) -> PerState:
    """The score of the best action of each state (b,): pi(s) = max_a A(s)_a."""
    return output.scores.max(dim=1).values


def size_of_action(output: AgentOutput, bounds: Bounds) -> PerState:
    """The sum over the dimensions of a continuous action of its absolute value in units of the dimension's range (b,)."""
    low, high = bound_tensors(bounds, output.scores)
    return (output.scores.abs() / (high - low).clamp_min(1e-9)).sum(dim=1)


def explained_scalar(agent: AgentSpec) -> Callable[[AgentOutput], PerState]:
    """The scalar function of the agent's output that saliency explains."""
    if agent.action_bounds is None:
        return best_score
    return partial(size_of_action, bounds=agent.action_bounds)


def not_differentiable(perceive: Perceiver) -> SaliencyError:
    """The error for an agent whose output has no gradient in its observation."""
    return SaliencyError(
        f"the output of agent {perceive.agent.spec.name!r} does not depend on the observation differentiably",
        expected="scores computed from the observation by differentiable operations",
        todo="remove torch.no_grad, .detach(), .numpy() and argmax from the network's forward",
    )


def check_finite(gradient: Tensor, perceive: Perceiver) -> Tensor:
    """Returns ``gradient``, or raises :class:`SaliencyError` if it is not finite."""
    if not torch.isfinite(gradient).all():
        raise SaliencyError(
            f"the gradient of agent {perceive.agent.spec.name!r} is not finite",
            expected="finite gradients",
            todo="check the agent's weights and the range of the observations it was trained on (0-255 or 0-1)",
        )
    return gradient

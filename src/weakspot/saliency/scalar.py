"""The scalar output that saliency explains: the best score, or the size of a continuous action."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from weakspot.agents.base import AgentOutput, AgentSpec, Perceiver, ends
from weakspot.errors import SaliencyError
from weakspot.types import Bounds, PerState


def best_score(output: AgentOutput) -> PerState:
    """The score of the best action of each state (b,): pi(s) = max_a A(s)_a."""
    return output.scores.max(dim=1).values


def size_of_action(output: AgentOutput, bounds: Bounds) -> PerState:
    """The sum over the dimensions of a continuous action, each without its sign and in units of its range (b,)."""
    low, high = ends(bounds, output.scores)
    return (output.scores.abs() / (high - low).clamp_min(1e-9)).sum(dim=1)


def explained(agent: AgentSpec) -> Callable[[AgentOutput], PerState]:
    """The number of an agent's answer whose saliency is asked for."""
    if agent.action_bounds is None:
        return best_score
    return partial(size_of_action, bounds=agent.action_bounds)


def not_differentiable(perceive: Perceiver) -> SaliencyError:
    """The error for an agent whose output has no gradient in its observation."""
    return SaliencyError(
        f"the answer of agent {perceive.agent.spec.name!r} does not depend on the observation differentiably",
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

"""The energy of Algorithm 1 (eq. 4), and its gradients.

    E(x) = M(T(A(g(u)))) + alpha R(x),        R(x) = KL(N(x_mu, x_sigma^2) || N(0, I))

M measures how far the target T is from the best real state:

    M(T) = w softplus((T - T*) / (w tau)),

with tau the standard deviation of T over the real states (so that one alpha serves every agent and target) and T* its
minimum over them.  Far above T*, M falls as T / tau; below T*, M is flat, so that the regulariser leads the search to the
most likely states that are as good.  ``enough="never"`` takes M = T / tau, and ``enough="unscaled"`` the paper's M = T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from weakspot.agents.base import AgentOutput
from weakspot.errors import TargetError
from weakspot.search.config import SynthesisConfig
from weakspot.targets.base import Target
from weakspot.types import PerState


@dataclass(frozen=True)
class TargetScale:
    """Scale of a target over real states.

    Attributes:
        scale: tau, the standard deviation of its values.
        best: T*, the lowest of its values.
    """

    scale: float
    best: float


def measure_scale(target: Target, outputs: AgentOutput) -> TargetScale:
    """Measures ``target`` over the agent's ``outputs`` at real states.

    Raises:
        TargetError: the target is the same for all of them, or not finite.
    """
    values = target(outputs)
    scale = TargetScale(float(values.std()), float(values.min()))
    check_scale(target, scale)
    return scale


def check_scale(target: Target, scale: TargetScale) -> None:
    """Raises :class:`TargetError` unless the standard deviation of the target is positive and finite."""
    if not (np.isfinite(scale.scale) and scale.scale > 0):
        raise TargetError(
            f"target {target.name!r} has a spread of {scale.scale} over the real states",
            expected="a target that differs between states",
            todo="choose other --targets; if this one is a function of your own, check that it uses its argument",
        )


def shortfall(values: PerState, scale: TargetScale, config: SynthesisConfig) -> PerState:
    """M, the first term of E, for the target's ``values`` T."""
    if config.enough == "unscaled":
        return values
    if config.enough == "never":
        return values / scale.scale
    return config.softness * F.softplus((values - scale.best) / (config.softness * scale.scale))


def energy_equation(target: Target, scale: TargetScale, config: SynthesisConfig) -> str:
    """E with its numbers filled in, as text for reports."""
    regulariser = f"{config.regulariser:g} KL"
    if config.enough == "unscaled":
        return f"E = T + {regulariser}, T = {target.equation}"
    if config.enough == "never":
        return f"E = T / {scale.scale:.3g} + {regulariser}, T = {target.equation}"
    width = config.softness * scale.scale
    first_term = f"{config.softness:g} softplus((T {'-' if scale.best >= 0 else '+'} {abs(scale.best):.3g}) / {width:.3g})"
    return f"E = {first_term} + {regulariser}, T = {target.equation}"


def is_differentiable(values: PerState, inputs: Tensor) -> bool:
    """Whether a gradient other than 0 flows from a target's ``values`` (b,) to ``inputs``, from which they were computed."""
    if not values.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(values.sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True)
    return bool((gradient != 0).any())


def no_gradient(target: Target) -> TargetError:
    """The error for a target whose values depend on no state, see :func:`is_differentiable`."""
    return TargetError(
        f"target {target.name!r} does not depend on the state: no gradient comes back from it",
        expected="a differentiable function of the agent's scores or value",
        todo="avoid .item(), .detach(), argmax and comparisons in the target",
    )


def check_differentiable(target: Target, values: PerState, inputs: Tensor) -> None:
    """Raises :class:`TargetError` unless :func:`is_differentiable`."""
    if not is_differentiable(values, inputs):
        raise no_gradient(target)


def energy_gradients(target: Target, energy: PerState, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Gradients of the summed ``energy`` (b,) of ``target`` with respect to ``inputs``.

    Raises:
        TargetError: a gradient is not finite.
    """
    gradients = torch.autograd.grad(energy.sum(), inputs)
    for gradient in gradients:
        if not torch.isfinite(gradient).all():
            raise TargetError(
                f"the gradient of target {target.name!r} is not finite",
                expected="a target with finite gradients",
                todo="add a small constant inside roots and logarithms of the target",
            )
    return gradients


def unit(gradient: Tensor) -> Tensor:
    """The gradient of each state (b, ...), scaled to a root mean square of 1."""
    size = gradient.flatten(1).square().mean(dim=1).sqrt().clamp_min(1e-20)
    return gradient / size.view(-1, *[1] * (gradient.dim() - 1))

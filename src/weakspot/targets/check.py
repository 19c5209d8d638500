"""A check of a target before anything is computed for it."""

from __future__ import annotations

import torch

from weakspot.agents.base import AgentOutput
from weakspot.errors import TargetError
from weakspot.targets.base import Target
from weakspot.targets.names import OVERCONFIDENCE


def check_target(target: Target, output: AgentOutput) -> None:
    """Evaluates a target on the agent's output in some state, and checks that its gradient leads back to that output.

    A gradient of zero is accepted, because it may differ from zero in other states; a missing one is not.

    Raises:
        TargetError: the target fails, does not return one finite number per state, or cannot be differentiated.
    """
    with torch.enable_grad():
        scores = output.scores.detach().requires_grad_()
        value = None if output.value is None else output.value.detach().requires_grad_()
        surplus = torch.zeros_like(scores[:, 0]).requires_grad_() if target.name == OVERCONFIDENCE else None  # fitted later
        energy = target(AgentOutput(scores, value, surplus))
    if not energy.requires_grad:
        raise TargetError(
            f"target {target.name!r} cannot be differentiated: its result does not follow from the scores or the value by "
            "differentiable operations",
            expected="a differentiable function of the agent's scores or value",
            todo="avoid .item(), .detach(), argmax, comparisons and constants in the target",
        )

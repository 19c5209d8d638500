"""The inputs of the layers that compute an agent's output: its features of a state."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from weakspot.agents.base import Agent, AgentOutput

_ONE_AT_A_TIME = threading.RLock()
"""Hooks of a layer see the calls of all threads."""


def with_features(agent: Agent, perceive: Callable[[], AgentOutput]) -> tuple[AgentOutput, Float[Tensor, "n f"]]:
    """The agent's output, and the inputs of the linear layers that compute it (n, f), without units; differentiable, and of
    single precision where the network's is half.

    These are the layers with as many outputs as there are actions, or with one; an input that several of them share is
    taken once.  An agent without such layers is represented by its output.  Calls from several threads wait for each other.

    Args:
        agent: the agent.
        perceive: calls it, possibly behind wrappers.
    """
    heads = [
        layer
        for layer in agent.module.modules()
        if isinstance(layer, nn.Linear) and layer.out_features in (1, len(agent.spec.action_names))
    ]
    inputs: list[Tensor] = []

    def record(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if not any(other is arguments[0] for other in inputs):
            inputs.append(arguments[0])

    with _ONE_AT_A_TIME:
        hooks = [layer.register_forward_pre_hook(record) for layer in heads]
        try:
            output = perceive()
        finally:
            for hook in hooks:
                hook.remove()
    features = torch.cat(inputs, dim=1) if inputs else output.vector()
    return output, features.float() if features.dtype.itemsize < torch.float32.itemsize else features

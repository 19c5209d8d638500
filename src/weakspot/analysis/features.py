"""Features of states in the agent's last hidden layer, and the Frechet distance between sets of states there.

The distance is that between Gaussians, as in the FID (Heusel et al. 2017), but in the agent's own features:

    d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)).

It is not 0 between two finite samples of one distribution, so it is always reported with its floor: the distance between
two disjoint sets of real states of the same size.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.types import State

Features: TypeAlias = Float[Tensor, "n f"]
"""Features of n states."""

linalg: Any = torch.linalg  # has no type hints


def features(perceive: Perceiver, states: State, batch_size: int = 64) -> Features:
    """The features alone; see :func:`outputs_and_features`."""
    return outputs_and_features(perceive, states, batch_size)[1]


def outputs_and_features(perceive: Perceiver, states: State, batch_size: int = 64) -> tuple[AgentOutput, Features]:
    """The agent's outputs, and the inputs of the linear layers that compute them (n, f), on the CPU, without units.

    These are the layers with as many outputs as there are actions, or with one; an input that several of them share is
    taken once.  An agent without such layers is represented by its outputs.

    Args:
        perceive: the agent behind the observation function.
        states: states (n, kc, h, w) in [0, 1].
        batch_size: number of states per forward pass.
    """
    heads = [
        layer
        for layer in perceive.agent.module.modules()
        if isinstance(layer, nn.Linear) and layer.out_features in (1, len(perceive.agent.spec.action_names))
    ]
    head_inputs: list[Tensor] = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not any(other is inputs[0] for other in head_inputs):
            head_inputs.append(inputs[0])

    hooks = [layer.register_forward_pre_hook(record) for layer in heads]
    outputs: list[AgentOutput] = []
    rows: list[Tensor] = []
    try:
        with torch.no_grad():
            for part in torch.split(states, batch_size):
                head_inputs.clear()
                output = perceive(part.to(perceive.agent.device))
                outputs.append(AgentOutput(output.scores.cpu(), None if output.value is None else output.value.cpu()))
                rows.append(torch.cat(head_inputs, dim=1).cpu() if head_inputs else outputs[-1].vector())
    finally:
        for hook in hooks:
            hook.remove()
    return concat_outputs(outputs), torch.cat(rows)


def frechet(first: Features, second: Features) -> float:
    """The Frechet distance d between Gaussians fitted to two sets of features (n, f) and (m, f).

    With A and B the centred features, (n - 1) C_1 = A^T A and (m - 1) C_2 = B^T B, so the eigenvalues of
    (n - 1) (m - 1) C_1 C_2 are the squared singular values of A B^T, which equal those of R S^T for A = Q R, B = P S.
    No matrix square root is computed.
    """
    a, b = first.double(), second.double()
    r, s = _triangular_factor(a), _triangular_factor(b)
    singular_values: Tensor = linalg.svdvals(r @ s.T)
    trace_root = singular_values.sum() / math.sqrt((len(a) - 1) * (len(b) - 1))
    squared = (a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * trace_root
    return float(squared.clamp_min(0.0).sqrt())


def _triangular_factor(features: Tensor) -> Tensor:
    """R of the QR decomposition of the centred features."""
    return linalg.qr(features - features.mean(0), mode="r").R

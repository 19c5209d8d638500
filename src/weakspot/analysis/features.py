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
from torch import Tensor

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.agents.head_inputs import with_features
from weakspot.types import State

Features: TypeAlias = Float[Tensor, "n f"]
"""Features of n states."""

linalg: Any = torch.linalg  # has no type hints


def features(perceive: Perceiver, states: State, batch_size: int = 64) -> Features:
    """The features alone; see :func:`outputs_and_features`."""
    return outputs_and_features(perceive, states, batch_size)[1]


def outputs_and_features(perceive: Perceiver, states: State, batch_size: int = 64) -> tuple[AgentOutput, Features]:
    """The agent's outputs, and its features (n, f) as :func:`weakspot.agents.head_inputs.with_features` defines them, on the
    CPU.

    Args:
        perceive: the agent behind the observation function.
        states: states (n, kc, h, w) in [0, 1].
        batch_size: number of states per forward pass.
    """
    outputs: list[AgentOutput] = []
    rows: list[Tensor] = []
    with torch.no_grad():
        for part in torch.split(states, batch_size):
            state = part.to(perceive.agent.device)
            output, features_of_part = with_features(perceive.agent, lambda state=state: perceive(state))
            outputs.append(output.cpu())
            rows.append(features_of_part.cpu())
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

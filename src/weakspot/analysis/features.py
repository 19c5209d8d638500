"""What the agent makes of states: its last hidden layer, and distances between sets of states there.

The distance is Frechet's between Gaussians, as in the FID (Heusel et al. 2017), in the agent's own features:

    d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)).

It is not 0 between two finite samples of one distribution, so it is always quoted beside its floor: the distance between
two halves of the real states, of the same number.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.types import State

Features = Float[Tensor, "n f"]


def features(perceive: Perceiver, states: State, batch_size: int = 64) -> Features:
    """The inputs of the linear layers that make the agent's answers (n, f), in units of nothing in particular.

    These are the layers with as many outputs as there are actions, or with one; inputs that several of them share are
    taken once.  An agent without such layers is represented by its answers.
    """
    heads = [
        layer
        for layer in perceive.agent.module.modules()
        if isinstance(layer, nn.Linear) and layer.out_features in (1, len(perceive.agent.spec.action_names))
    ]
    seen: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not any(other is inputs[0] for other in seen):
            seen.append(inputs[0])

    hooks = [layer.register_forward_pre_hook(keep) for layer in heads]
    rows = []
    try:
        with torch.no_grad():
            for part in states.split(batch_size):
                seen.clear()
                answered = perceive(part.to(perceive.agent.device)).vector()
                rows.append(torch.cat(seen, dim=1).cpu() if seen else answered.cpu())
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(rows)


def frechet(one: Features, other: Features) -> float:
    """Frechet's distance d between the Gaussians of two sets of features.

    With A and B the features less their means, (n - 1) C_1 = A^T A and (m - 1) C_2 = B^T B, so that the eigenvalues of
    (n - 1) (m - 1) C_1 C_2 are the squared singular values of A B^T.  These are those of R S^T, with A = Q R, B = P S.
    """
    a, b = one.double(), other.double()
    r, s = (torch.linalg.qr(part - part.mean(0), mode="r").R for part in (a, b))
    across = torch.linalg.svdvals(r @ s.T).sum() / math.sqrt((len(a) - 1) * (len(b) - 1))
    squared = (a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * across
    return float(squared.clamp_min(0.0).sqrt())

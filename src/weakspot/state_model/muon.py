"""Muon (Jordan et al. 2024), an optimiser of matrices, in any number format and for all matrices of a shape at once.

The weights of a convolution (o, i, a, b) count as a matrix with o rows.  A step is an approximation of the closest matrix
with orthogonal rows or columns to the momentum, by iterations

    X <- a X + b (X X^T) X + c (X X^T)^2 X,

each with the a, b and c that are best after the iterations before it (Amsel et al. 2025): the odd polynomial of degree five
that is closest to 1 on the interval of the singular values there.  Three of them do what five with the same polynomial do.

``torch.optim.Muon`` computes the same in bfloat16, one matrix after another and with a single polynomial; on processors
without units for bfloat16 that takes ten times as long as all the rest of a step.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST, MARGIN = 0.01, 1.02
"""The smallest singular value, over the norm of its matrix, that ends near 1; and the factor by which rounding may make the
largest ones larger than they are, in each iteration."""
Polynomials: TypeAlias = tuple[tuple[float, float, float], ...]
POLYNOMIALS: Polynomials = (
    (7.9424, -22.2873, 15.8239),
    (3.5875, -2.5845, 0.4893),
    (2.6604, -1.9134, 0.4194),
)
"""a, b and c of each iteration, for these two numbers: singular values end between .71 and 1.29."""
SMALLEST_NORM = 1e-7
"""Lower bound of the norm that a matrix is divided by."""
Matrices: TypeAlias = Float[Tensor, "n rows columns"]

RMS = 0.2
"""Root mean square of a step at a learning rate of 1 that makes steps as large as those of AdamW (Liu et al. 2025)."""


def orthogonalised(matrices: Matrices, dtype: torch.dtype, polynomials: Polynomials = POLYNOMIALS) -> Matrices:
    """Matrices with nearly orthogonal rows, or columns if they have more rows than columns; computed in ``dtype``, with an
    iteration for each of the polynomials."""
    tall = matrices.shape[1] > matrices.shape[2]
    norms = matrices.square().sum(dim=(1, 2), keepdim=True).sqrt().clamp_min(SMALLEST_NORM)
    x = (matrices / norms).to(dtype)
    x = x.transpose(1, 2) if tall else x
    for a, b, c in polynomials:
        gram = x @ x.transpose(1, 2)
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, factor, x, beta=a)
    x = x.to(matrices.dtype)
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay.

    Args:
        matrices: the parameters, all with two dimensions or more.
        dtype: number format of the iterations.
        lr: learning rate.
        rms: root mean square of a step at a learning rate of 1.
        momentum: decay of the running mean of gradients.
        weight_decay: share of a weight that a step at a learning rate of 1 removes.
        polynomials: a, b and c of each iteration.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        dtype: torch.dtype,
        lr: float = 1e-3,
        rms: float = RMS,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        polynomials: Polynomials = POLYNOMIALS,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype, self._rms, self._polynomials = dtype, rms, polynomials

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step for all matrices that have a gradient; returns what ``closure`` does, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    direction = self._direction(matrix, matrix.grad, group["momentum"]).flatten(1)
                    by_shape[direction.shape].append((matrix, direction))
            for shape, pairs in by_shape.items():
                updates = orthogonalised(torch.stack([direction for _, direction in pairs]), self._dtype, self._polynomials)
                rate = group["lr"] * self._rms * math.sqrt(max(shape))
                for (matrix, _), update in zip(pairs, updates, strict=True):
                    kept = 1 - group["lr"] * group["weight_decay"]
                    matrix.mul_(kept).add_(update.reshape(matrix.shape), alpha=-rate)
        return loss

    def _direction(self, matrix: Tensor, gradient: Tensor, decay: float) -> Tensor:
        """Adds the gradient of a matrix to its running mean, and returns Nesterov's direction."""
        state: dict[str, Tensor] = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        return gradient.lerp(state["momentum"].lerp_(gradient, 1 - decay), decay)


def muon_and_adamw(
    module: nn.Module,
    matrices: Iterable[Tensor],
    dtype: torch.dtype,
    *,
    rms: float,
    momentum: float,
    weight_decay: float,
    polynomials: Polynomials = POLYNOMIALS,
) -> list[torch.optim.Optimizer]:
    """Muon for some parameters of a module, computing in ``dtype``, and AdamW for all others."""
    matrices = list(matrices)
    by_muon = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in module.parameters() if id(parameter) not in by_muon]
    muon = Muon(matrices, dtype, rms=rms, momentum=momentum, weight_decay=weight_decay, polynomials=polynomials)
    return [muon, torch.optim.AdamW(others, weight_decay=weight_decay, fused=True)]


def step_all(optimizers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """One step of each optimiser at this learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()

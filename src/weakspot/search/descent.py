"""How Algorithm 1 descends: Adam, or gradient descent as the paper prints it.

Each search is one row of its parameters, and rows step independently, so that a search can stop while others go on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Int
from torch import Tensor

from weakspot.search.config import Optimizer
from weakspot.search.distribution import SearchDistribution
from weakspot.types import Latent

Rows = Int[Tensor, " m"]


class Descent(ABC):
    """Two parameters of all searches, one row each, and their steps.

    Args:
        values: x_mu, and x_sigma or its logarithm (n, z).
        rate: the step size.
    """

    def __init__(self, values: tuple[Latent, Latent], rate: float) -> None:
        self._values, self._rate = values, rate

    def parameters(self, rows: Rows) -> tuple[Latent, Latent]:
        """The parameters of the searches ``rows``: new tensors that require gradients."""
        mean, spread = (value[rows].requires_grad_() for value in self._values)
        return mean, spread

    def result(self) -> SearchDistribution:
        """x of all searches as it is now, without gradients."""
        return self.distribution(self._values)

    @abstractmethod
    def distribution(self, parameters: tuple[Latent, Latent]) -> SearchDistribution:
        """x as a differentiable function of parameters."""

    @abstractmethod
    def step(self, rows: Rows, gradients: tuple[Tensor, ...]) -> None:
        """One step of the searches ``rows``."""


class AdamDescent(Descent):
    """Adam on x_mu and log x_sigma, which keeps x_sigma positive (Kingma and Ba 2015; beta = (0.9, 0.999)).

    Args:
        start: where the searches start.
        rate: the step size.
    """

    def __init__(self, start: SearchDistribution, rate: float) -> None:
        super().__init__((start.mean.detach().clone(), start.sigma.detach().log()), rate)
        self._moments = tuple((torch.zeros_like(value), torch.zeros_like(value)) for value in self._values)
        self._steps = 0

    def distribution(self, parameters: tuple[Latent, Latent]) -> SearchDistribution:
        return SearchDistribution(parameters[0], parameters[1].exp())

    def step(self, rows: Rows, gradients: tuple[Tensor, ...]) -> None:
        self._steps += 1
        for value, (first, second), gradient in zip(self._values, self._moments, gradients, strict=True):
            first[rows] = 0.9 * first[rows] + 0.1 * gradient
            second[rows] = 0.999 * second[rows] + 0.001 * gradient.square()
            m = first[rows] / (1 - 0.9**self._steps)
            v = second[rows] / (1 - 0.999**self._steps)
            value[rows] -= self._rate * (m / (v.sqrt() + 1e-8))


class GradientDescent(Descent):
    """Gradient descent on x_mu and x_sigma: lines 9 and 10 of the paper's Algorithm 1.

    x_sigma may change its sign: x_sigma and -x_sigma are the same distribution.  Near 0 the gradient of the KL, alpha /
    x_sigma, is large, and a step can throw x_sigma far from there; smaller step sizes make that rarer.

    Args:
        start: where the searches start.
        rate: lambda, the step size.
    """

    def __init__(self, start: SearchDistribution, rate: float) -> None:
        super().__init__((start.mean.detach().clone(), start.sigma.detach().clone()), rate)

    def distribution(self, parameters: tuple[Latent, Latent]) -> SearchDistribution:
        return SearchDistribution(*parameters)

    def step(self, rows: Rows, gradients: tuple[Tensor, ...]) -> None:
        for value, gradient in zip(self._values, gradients, strict=True):
            value[rows] -= self._rate * gradient


def descent(optimizer: Optimizer, start: SearchDistribution, rate: float) -> Descent:
    """The descent of that name."""
    return AdamDescent(start, rate) if optimizer == "adam" else GradientDescent(start, rate)

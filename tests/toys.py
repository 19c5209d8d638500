"""Toy agents and state models whose results are known in closed form."""

from __future__ import annotations

import torch
from torch import nn

from weakspot.agents.base import AgentOutput, AgentSpec, Perceiver
from weakspot.state_model.model import StateModel
from weakspot.state_model.whitening import identity

SHAPE = (12, 4, 4)
"""(kc, h, w) of the toy states."""


class LinearAgent:
    """q = W s + b, with a value V = v . s."""

    device = torch.device("cpu")

    def __init__(self, actions: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(seed)
        size = SHAPE[0] * SHAPE[1] * SHAPE[2]
        self.weight = torch.randn(actions, size, generator=generator, dtype=torch.float64).to(dtype) / size**0.5
        self.value = torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) / size**0.5
        self.module = nn.Identity()
        names = tuple(f"A{i}" for i in range(actions))
        self.spec = AgentSpec("linear", "toy", names, SHAPE, "q-values", "greedy", "linear")

    def __call__(self, observation: torch.Tensor) -> AgentOutput:
        flat = observation.flatten(1)
        return AgentOutput(flat @ self.weight.T, flat @ self.value)


class LinearNetwork(nn.Module):
    """g(z) = 0.5 + 0.01 G z: a Gaussian state model whose states stay inside [0, 1]."""

    def __init__(self, latent: int = 5, seed: int = 1) -> None:
        super().__init__()
        self.latent = latent
        generator = torch.Generator().manual_seed(seed)
        size = SHAPE[0] * SHAPE[1] * SHAPE[2]
        self.register_buffer("generator_matrix", 0.01 * torch.randn(size, latent, generator=generator))

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return 0.5 + (latent @ self.generator_matrix.T).unflatten(1, SHAPE)

    def encode(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latent_mean = torch.linalg.lstsq(self.generator_matrix, (state - 0.5).flatten(1).T).solution.T
        return latent_mean, torch.full_like(latent_mean, -20.0)


def linear_model(latent: int = 5) -> StateModel:
    return StateModel(LinearNetwork(latent).eval(), identity(latent), {"recipe": "toy"})


def linear_perceiver(actions: int = 3) -> Perceiver:
    return Perceiver(LinearAgent(actions), lambda state: state)

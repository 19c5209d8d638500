"""Untrained agents, as a user would define them in a file: ``tiny_agent.py:pong``."""

import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self, actions: int, channels: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(400, actions))
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.body(observation / 255)


class NaNOutputs(Tiny):
    """Returns NaN for every observation."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return super().forward(observation) * float("nan")


def pong() -> nn.Module:
    return Tiny(6)


def another_pong() -> nn.Module:
    network = Tiny(6)
    for parameter in network.parameters():
        parameter.data = parameter.data.flip(0)
    return network


def eighteen_actions() -> nn.Module:
    return Tiny(18)


def three_frames() -> nn.Module:
    return Tiny(6, channels=3)


def nan_outputs() -> nn.Module:
    return NaNOutputs(6)

"""Agents in ``.walker`` files, which hold one number: the cell of a grid that the agent walks to."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from weakspot.agents.build import agent_from_network, resolve_interface
from weakspot.errors import WeightsError

from .environments import BRIGHT, CELL, HEIGHT


class Walker(nn.Module):
    """Q(LEFT) = relu(cell - goal) and Q(RIGHT) = relu(goal - cell), where the cell is read from the newest frame."""

    def __init__(self, shape: tuple[int, int, int], goal: float) -> None:
        super().__init__()
        channels, height, width = shape
        cells = torch.arange(width) // CELL
        position = torch.zeros(shape)
        position[channels // 2 :] = cells / (BRIGHT * HEIGHT * CELL * (channels // 2))
        self.scores = nn.Linear(channels * height * width, 2)
        with torch.no_grad():
            self.scores.weight.copy_(torch.stack([position.flatten(), -position.flatten()]))
            self.scores.bias.copy_(torch.tensor([-goal, goal]))
        self.relu = nn.ReLU()

    def forward(self, observation):
        return self.relu(self.scores(observation.flatten(1)))


class WalkerFormat:
    name = "walker"

    def recognises(self, reference, trust):
        path = Path(reference)
        return path.suffix == ".walker" and path.is_file()

    def load(self, reference, *, environment, device, trust):
        path = Path(reference)
        interface = resolve_interface(path, environment)
        try:
            goal = float(path.read_text())
        except ValueError as error:
            raise WeightsError(f"{path}: {error}", expected="one number", todo="write the file again") from error
        return agent_from_network(Walker(interface.observation_shape, goal), interface, name=path.stem, device=device)


FORMAT = WalkerFormat()

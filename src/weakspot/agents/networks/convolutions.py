"""The convolutions of the agents that this package trains, in three sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from weakspot.agents.networks.sizes import NetworkSize

CONVOLUTIONS: dict[NetworkSize, tuple[tuple[int, int, int], ...]] = {
    "nature": ((32, 8, 4), (64, 4, 2), (64, 3, 1)),
    "compact": ((16, 8, 4), (32, 4, 2)),
    "small": ((16, 8, 4), (32, 4, 2), (64, 3, 2)),
}
"""Convolutions of each network as (filters, kernel size, stride): Mnih et al. 2015, Mnih et al. 2013, and a small one whose
third convolution leaves the dueling head a tenth of the weights to read and write at each update."""

HIDDEN: dict[NetworkSize, int] = {"nature": 512, "compact": 256, "small": 128}
"""Units in the hidden layer after the convolutions; a dueling head has one such layer in each of its streams."""


def convolution_layers(observation_shape: Sequence[int], network: NetworkSize) -> tuple[nn.Sequential, int]:
    """Returns the convolutions of a network, and the number of features they give.

    Args:
        observation_shape: (c, h, w).
        network: the size of the network.

    Returns:
        The convolutions, a ReLU after each, flattened at the end: (b, c, h, w) to (b, features); and ``features``.
    """
    channels = observation_shape[0]
    layers: list[nn.Module] = []
    for filters, kernel, stride in CONVOLUTIONS[network]:
        layers += [nn.Conv2d(channels, filters, kernel, stride), nn.ReLU()]
        channels = filters
    convolutions = nn.Sequential(*layers, nn.Flatten())
    with torch.no_grad():
        return convolutions, convolutions(torch.zeros(1, *observation_shape)).shape[1]

"""Activation maximisation with the deep image prior (Ulyanov et al. 2018), which the paper's arXiv version cites: each state
is what an untrained convolutional network makes of fixed noise, and the descent changes the weights of the network.

    s = g_w(e),   e ~ N(0, I) fixed,        w <- Adam step on T(A(g_w(e)))

A convolutional network draws smooth areas and repeated patterns more readily than noise.  This prior knows nothing else: it
has not seen a state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakspot.search.energy import check_differentiable, energy_gradients
from weakspot.search.method import BACKWARD, Cost, SearchResult, Sources, perceive_batched
from weakspot.system.checks import check_positive
from weakspot.targets.base import Target
from weakspot.types import State

TOGETHER = 16
"""States whose networks are computed at once."""
DOUBLINGS = 3
"""Times that a network doubles the height and width of its noise."""


@dataclass(frozen=True)
class DeepImagePrior:
    """Descent in the weights of an untrained network, one network for each state.

    Attributes:
        steps: of the descent.
        learning_rate: of Adam.
        channels: of each layer, and of the noise.
        name: see :class:`weakspot.search.method.Method`.

    Raises:
        ConfigError: a number is not positive.
    """

    steps: int = 300
    learning_rate: float = 0.01
    channels: int = 32
    name: str = "activation maximisation, deep image prior"

    def __post_init__(self) -> None:
        check_positive(self, "steps", "learning_rate", "channels")

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`."""
        generator = torch.Generator().manual_seed(seed)
        sizes = [min(TOGETHER, count - at) for at in range(0, count, TOGETHER)]
        state = torch.cat([self._descend(sources, target, size, generator) for size in sizes])
        output = perceive_batched(sources.perceive, state)
        return SearchResult(state, output, target(output), Cost(agent=count * (self.steps * (1 + BACKWARD) + 1)))

    def _descend(self, sources: Sources, target: Target, count: int, generator: torch.Generator) -> State:
        """Runs the descents of ``count`` networks."""
        spec = sources.dataset.environment
        shape = (spec.frames * spec.channels, spec.height, spec.width)
        networks = UntrainedNetworks(count, shape, self.channels, generator).to(sources.perceive.agent.device)
        weights = tuple(networks.parameters())
        optimizer: Any = torch.optim.Adam(weights, lr=self.learning_rate)
        for step in range(self.steps):
            state: State = networks()
            values = target(sources.perceive(state))
            if step == 0:
                check_differentiable(target, values, state)
            for weight, gradient in zip(weights, energy_gradients(target, values, weights), strict=True):
                weight.grad = gradient
            optimizer.step()
        with torch.no_grad():
            return networks()


class UntrainedNetworks(nn.Module):
    """As many networks as states, each of which draws one state from its own noise.

    Args:
        count: n, the number of networks.
        shape: (kc, h, w) of a state.
        channels: of each layer, and of the noise.
        generator: of the noise and of the weights.
    """

    noise: Tensor

    def __init__(self, count: int, shape: tuple[int, int, int], channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.count, (outputs, self.height, self.width) = count, shape
        size = [math.ceil(length / 2**DOUBLINGS) for length in (self.height, self.width)]
        self.register_buffer("noise", torch.randn(1, count * channels, *size, generator=generator))

        def weights(out: int, window: int) -> nn.Parameter:
            spread = math.sqrt(2.0 / (channels * window**2))
            return nn.Parameter(spread * torch.randn(count * out, channels, window, window, generator=generator))

        self.layers = nn.ParameterList([weights(channels, 3) for _ in range(DOUBLINGS + 1)])
        self.last, self.bias = weights(outputs, 1), nn.Parameter(torch.zeros(count * outputs))

    def forward(self) -> State:
        """The states (n, kc, h, w), in [0, 1]."""
        features: Tensor = self.noise
        for number, weight in enumerate(self.layers):
            if number:
                features = F.interpolate(features, scale_factor=2, mode="bilinear")
            features = F.conv2d(F.pad(features, (1, 1, 1, 1), mode="replicate"), weight, groups=self.count)
            features = F.leaky_relu(F.group_norm(features, self.count), 0.1)
        drawn: Tensor = F.conv2d(features, self.last, self.bias, groups=self.count).sigmoid()
        return drawn[0, :, : self.height, : self.width].reshape(self.count, -1, self.height, self.width)

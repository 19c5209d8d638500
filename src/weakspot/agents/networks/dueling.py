"""The dueling Q-network (Wang et al. 2016) in plain torch.

Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')
"""

from __future__ import annotations

from torch import Tensor, nn

from weakspot.agents.networks.convolutions import HIDDEN, convolution_layers
from weakspot.agents.networks.sizes import NetworkSize


class DuelingNetwork(nn.Module):
    """Maps observations (b, c, h, w) in 0 to 255 to Q-values (b, a).

    Args:
        actions: number of actions.
        network: size of the network.
        observation_shape: (c, h, w).
    """

    def __init__(
        self, actions: int, network: NetworkSize = "nature", observation_shape: tuple[int, int, int] = (4, 84, 84)
    ) -> None:
        super().__init__()
        self.convolutions, features = convolution_layers(observation_shape, network)
        hidden = HIDDEN[network]
        self.value_stream = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.advantage_stream = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, actions))

    def forward(self, observation: Tensor) -> Tensor:
        features = self.convolutions(observation / 255.0)
        advantage = self.advantage_stream(features)
        return self.value_stream(features) + advantage - advantage.mean(dim=1, keepdim=True)

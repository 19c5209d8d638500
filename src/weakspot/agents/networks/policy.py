"""The actor-critic network of the agents that this package trains, in plain torch: convolutions, one hidden layer, and one
linear head each for the action logits and the value.
"""

from __future__ import annotations

from torch import Tensor, nn

from weakspot.agents.networks.convolutions import HIDDEN, convolution_layers
from weakspot.agents.networks.sizes import NetworkSize


class PolicyNetwork(nn.Module):
    """Maps observations (b, c, h, w) in 0 to 255 to action logits (b, a) and values (b, 1).

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
        self.hidden = nn.Sequential(nn.Linear(features, HIDDEN[network]), nn.ReLU())
        self.actor, self.critic = nn.Linear(HIDDEN[network], actions), nn.Linear(HIDDEN[network], 1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        features = self.hidden(self.convolutions(observation / 255.0))
        return self.actor(features), self.critic(features)

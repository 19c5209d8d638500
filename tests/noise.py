"""Noise with the shape of Atari observations: as a tensor, and as an environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch


def images(batch: int = 3, seed: int = 0) -> torch.Tensor:
    """Observations (b, 4, 84, 84) in 0 to 255."""
    return torch.randint(256, (batch, 4, 84, 84), generator=torch.Generator().manual_seed(seed)).float()


class Noise(gymnasium.Env):
    """Observations of noise with the shape of Pong's."""

    observation_space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(6)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}

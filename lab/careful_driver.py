"""A driver that certainly minds people: the positive control of figure 6.

That no person appears among the states that a target finds means something only if people appear for an agent that minds
them.  This one does by construction.  It is the driver that sees classes, and with a person on its path in the newest frame

    logit(BRAKE) += 12 m,   value -= 8 m,       m = min(1, sum of p(lower end of a person) over the ground of the path)

As an agent it is ``lab/careful_driver.py:careful_driver``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from lab.driving import ACTION_NAMES, BRAKE
from weakspot.agents.load import load_agent
from weakspot.analysis.objects.driving import path_ground
from weakspot.envs.driving.classes import SemanticClass
from weakspot.envs.driving.sensors import Camera

AGENT = Path(__file__).parents[1] / "experiments/agents/drivesemantic64-a2c.safetensors"
LOGIT, VALUE = 12.0, 8.0
"""What a person on the path adds to the logit of BRAKE, and takes from the value, which is about 10 on a free road."""


class CarefulDriver(nn.Module):
    """A network of a driver that sees classes, with an output that also depends on people on its path.

    Args:
        network: maps classes (b, k c, h, w), 0 to 255, to logits and values.
        camera: that takes the pictures.
        classes: c.
    """

    ground: Tensor
    braking: Tensor

    def __init__(self, network: nn.Module, camera: Camera, classes: int) -> None:
        super().__init__()
        self.network, self.person = network, int(SemanticClass.PEDESTRIAN) - classes
        self.register_buffer("ground", torch.from_numpy(path_ground(camera)).float())
        braking = torch.zeros(1, len(ACTION_NAMES))
        braking[0, BRAKE] = LOGIT
        self.register_buffer("braking", braking)

    def people(self, observation: Tensor) -> Tensor:
        """m (b, 1), from 0 to 1."""
        here = observation[:, self.person] / 255.0
        below = torch.cat([here[:, 1:], torch.zeros_like(here[:, :1])], dim=1)
        ends = torch.relu(here - below) * self.ground
        total = ends.sum(dim=(1, 2)).unsqueeze(1)
        return total - torch.relu(total - 1.0)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        logits, value = self.network(observation)
        people = self.people(observation)
        return logits + self.braking * people, value - VALUE * people


def careful_driver() -> nn.Module:
    """The network."""
    agent = load_agent(str(AGENT))
    assert agent.module is not None
    channels, height, width = agent.spec.observation_shape
    return CarefulDriver(agent.module, Camera(height, width), channels // 4)

"""What an agent has to fit."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.types import Bounds


@dataclass(frozen=True)
class Interface:
    """The side of an environment that its agents see.

    Attributes:
        environment: its id, such as ``PongNoFrameskip-v4``.
        action_names: what its actions are called, in their order, or the dimensions of continuous ones.
        observation_shape: (c, h, w) of what is shown, in 0 to 255.
        action_bounds: of continuous actions; None where actions are discrete.
    """

    environment: str
    action_names: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    action_bounds: Bounds | None = None

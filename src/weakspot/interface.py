"""The properties of an environment that an agent has to match."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.actions import Bounds

MASK = "action_mask"
"""Name of the entry that says which actions are allowed: 1, and 0 for those that are forbidden."""


@dataclass(frozen=True)
class Interface:
    """What an agent has to match to play in an environment.

    Attributes:
        environment: the environment's id, such as ``PongNoFrameskip-v4``.
        action_names: names of the discrete actions in their order, or of the dimensions of continuous actions.
        observation_shape: (c, h, w) of the observation, whose values are 0 to 255.
        action_bounds: bounds of each dimension of continuous actions; None for discrete actions.
        action_parts: numbers of choices of the parts of an action, if the actions are all combinations of these, the choice
            of the last part changing fastest; None for others.
        entries: names and sizes of what the environment gives beside its image, in the order of
            :attr:`weakspot.envs.base.Step.entries`; None if it gives nothing.
    """

    environment: str
    action_names: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    action_bounds: Bounds | None = None
    action_parts: tuple[int, ...] | None = None
    entries: tuple[tuple[str, int], ...] | None = None

"""Random actions."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from weakspot.actions import Action, Bounds


class Actions(Protocol):
    """What actions there are; the properties of an agent or of an environment.

    Attributes:
        action_names: names of the discrete actions, or of the dimensions of continuous ones.
        action_bounds: bounds of each dimension of continuous actions; None for discrete ones.
    """

    @property
    def action_names(self) -> tuple[str, ...]: ...

    @property
    def action_bounds(self) -> Bounds | None: ...


def random_action(spec: Actions, generator: np.random.Generator) -> Action:
    """A uniformly random action."""
    if spec.action_bounds is None:
        return int(generator.integers(len(spec.action_names)))
    return tuple(float(generator.uniform(low, high)) for low, high in spec.action_bounds)

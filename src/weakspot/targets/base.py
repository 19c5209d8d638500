"""A target: an energy over the agent's output, checked wherever it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from weakspot.agents.base import AgentOutput
from weakspot.errors import TargetError, WeakspotError
from weakspot.types import PerState

Energy: TypeAlias = Callable[[AgentOutput], PerState]
"""Maps the agent's output to one energy per state (b,); smaller is better.  Must be differentiable in scores or value, keep
nothing between calls and draw no random numbers: two threads may call it at once."""


@dataclass(frozen=True)
class Target:
    """A kind of state to search for: states of small energy.  A target sees only the agent's output, never the state model.

    Attributes:
        name: canonical name, such as ``T-`` or ``LEFT``.
        slug: the name as a folder name.
        title: heading for reports, such as "States of little value".
        description: one sentence for reports.
        equation: the energy as text for reports.
        energy: maps the agent's output to one energy per state (b,); smaller is better.
    """

    name: str
    slug: str
    title: str
    description: str
    equation: str
    energy: Energy

    def __call__(self, output: AgentOutput) -> PerState:
        """Evaluates the energy (b,).

        Raises:
            TargetError: the function raised an error, or returned a wrong shape or a number that is not finite.
        """
        energy: Any = self._evaluate(output)
        batch = output.scores.shape[0]
        if not isinstance(energy, torch.Tensor) or energy.shape != (batch,):
            seen = tuple(energy.shape) if isinstance(energy, torch.Tensor) else type(energy).__name__
            raise TargetError(
                f"target {self.name!r} returned {seen} for {batch} states",
                expected=f"a tensor of shape ({batch},), one energy per state",
                todo="sum over actions (dim=1) and return one number for each state",
            )
        if not torch.isfinite(energy).all():
            raise TargetError(
                f"target {self.name!r} returned {energy[~torch.isfinite(energy)][0].item()}",
                expected="finite energies",
                todo="check for divisions by zero and logarithms of zero in the target, and for NaN from the agent",
            )
        return energy

    def _evaluate(self, output: AgentOutput) -> PerState:
        try:
            return self.energy(output)
        except WeakspotError:
            raise
        except Exception as error:  # a user's function can raise anything
            value = None if output.value is None else tuple(output.value.shape)
            raise TargetError(
                f"target {self.name!r} failed with {type(error).__name__}: {error}",
                expected=f"a function of the agent's output (scores {tuple(output.scores.shape)}, value {value})",
                todo="call the function on its own to see where it fails",
            ) from error

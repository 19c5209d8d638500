"""Activation maximisation (Erhan et al. 2009): descends on the target in the pixels of the state, without a state model.

    repeat:  d = unit(update(gradient of T(A(shown(s))))) + unit(gradient of penalty(s)),
             s <- after(clip(s - step d, 0, 1))

with shown, penalty, update and after from one of :mod:`weakspot.search.pixel_regularisers`, and unit(g) = g / rms(g) for
each state.  How far a target can fall in pixels differs by orders of magnitude between agents; scaled like this, a penalty
is as strong as any target.  It starts from noise round the middle gray.  This is what section 4.6 of the paper compares
with; figure 3 shows what comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from weakspot.agents.base import concat_outputs
from weakspot.errors import ConfigError
from weakspot.search.algorithm_1 import gradients
from weakspot.search.method import BACKWARD, BATCH, Cost, Found, Sources, answered
from weakspot.search.pixel_regularisers import Plain
from weakspot.targets.base import Target
from weakspot.types import State


@dataclass(frozen=True)
class ActivationMaximization:
    """The descent in pixels.

    Attributes:
        regulariser: what keeps pictures smooth.
        steps: of the descent.
        step: root mean square by which the target's part of a step changes pixels, of a range of 1.
        start_sigma: standard deviation of the noise it starts from.

    Raises:
        ConfigError: a number is not positive.
    """

    regulariser: Plain = field(default_factory=Plain)
    steps: int = 300
    step: float = 0.01
    start_sigma: float = 0.05

    def __post_init__(self) -> None:
        for name in ("steps", "step", "start_sigma"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="a positive number")

    @property
    def name(self) -> str:
        """See :class:`weakspot.search.method.Method`."""
        return f"activation maximisation, {self.regulariser.name}"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.search.method.Method`."""
        spec, device = sources.dataset.environment, sources.perceive.agent.device
        generator = torch.Generator().manual_seed(seed)
        shape = (count, spec.frames * spec.channels, spec.height, spec.width)
        noise = 0.5 + self.start_sigma * torch.randn(shape, generator=generator)
        parts = [self._descend(part.to(device), sources, target, generator) for part in noise.split(BATCH)]
        output = concat_outputs([answered(sources.perceive, part) for part in parts])
        passes = count * (self.steps * (1 + BACKWARD) + 1)
        return Found(torch.cat(parts), output, target(output), Cost(agent=passes))

    def _descend(self, state: State, sources: Sources, target: Target, generator: torch.Generator) -> State:
        """One batch of states to its end."""
        regulariser = self.regulariser
        for step in range(self.steps):
            leaf = state.clamp(0.0, 1.0).requires_grad_()
            wanted = target(sources.perceive(regulariser.shown(leaf, generator)))
            (gradient,) = gradients(wanted, wanted, (leaf,), target, check=step == 0)
            direction = _unit(regulariser.update(gradient))
            penalty = regulariser.penalty(leaf)
            if penalty is not None:
                direction = direction + _unit(torch.autograd.grad(penalty.sum(), leaf)[0])
            with torch.no_grad():
                state = regulariser.after((leaf - self.step * direction).clamp(0.0, 1.0), step)
        return state.clamp(0.0, 1.0)


def _unit(gradient: State) -> State:
    """The direction of each state's gradient, with a root mean square of 1."""
    return gradient / gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-20)

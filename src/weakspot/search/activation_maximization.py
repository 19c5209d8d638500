"""Activation maximisation (Erhan et al. 2009; section 4.6 and figure 3 of the paper): gradient descent on the target in the
pixels of the state, without a state model.

    repeat:  d = unit(update(gradient of T(A(transform(s))))) + unit(gradient of penalty(s)),
             s <- after(clip(s - step d, 0, 1))

with transform, penalty, update and after from one of :mod:`weakspot.search.pixel_regularisers`, and unit(g) = g / rms(g) for
each state.  How far a target can fall in pixel space differs by orders of magnitude between agents; with this scaling, a
penalty is as strong as any target.  The descent starts from noise around middle gray.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from weakspot.agents.base import concat_outputs
from weakspot.search.energy import check_differentiable, energy_gradients, unit
from weakspot.search.method import BACKWARD, BATCH, Cost, SearchResult, Sources, perceive_batched
from weakspot.search.pixel_regularisers import Plain
from weakspot.system.checks import check_positive
from weakspot.targets.base import Target
from weakspot.types import State


@dataclass(frozen=True)
class ActivationMaximization:
    """Gradient descent in pixel space.

    Attributes:
        regulariser: keeps images smooth; the default does nothing.
        steps: of the descent.
        step: root mean square of the change of the pixels in a step due to the target, for pixels in [0, 1].
        start_sigma: standard deviation of the noise at the start.

    Raises:
        ConfigError: a number is not positive.
    """

    regulariser: Plain = field(default_factory=Plain)
    steps: int = 300
    step: float = 0.01
    start_sigma: float = 0.05

    def __post_init__(self) -> None:
        check_positive(self, "steps", "step", "start_sigma")

    @property
    def name(self) -> str:
        """See :class:`weakspot.search.method.Method`."""
        return f"activation maximisation, {self.regulariser.name}"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`."""
        spec, device = sources.dataset.environment, sources.perceive.agent.device
        generator = torch.Generator().manual_seed(seed)
        shape = (count, spec.frames * spec.channels, spec.height, spec.width)
        noise = 0.5 + self.start_sigma * torch.randn(shape, generator=generator)
        parts = [self._descend(part.to(device), sources, target, generator) for part in torch.split(noise, BATCH)]
        output = concat_outputs([perceive_batched(sources.perceive, part) for part in parts])
        passes = count * (self.steps * (1 + BACKWARD) + 1)
        return SearchResult(torch.cat(parts), output, target(output), Cost(agent=passes))

    def _descend(self, state: State, sources: Sources, target: Target, generator: torch.Generator) -> State:
        """Runs the descent of one batch of states."""
        regulariser = self.regulariser
        for step in range(self.steps):
            leaf = state.clamp(0.0, 1.0).requires_grad_()
            values = target(sources.perceive(regulariser.transform(leaf, generator)))
            if step == 0:
                check_differentiable(target, values, leaf)
            (gradient,) = energy_gradients(target, values, (leaf,))
            direction = unit(regulariser.update(gradient))
            penalty = regulariser.penalty(leaf)
            if penalty is not None:
                direction = direction + unit(torch.autograd.grad(penalty.sum(), leaf)[0])
            with torch.no_grad():
                state = regulariser.after((leaf - self.step * direction).clamp(0.0, 1.0), step)
        return state.clamp(0.0, 1.0)

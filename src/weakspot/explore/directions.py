"""Directions in the N(0, I) space of the state model along which a person moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from weakspot.agents.base import Perceiver
from weakspot.data.dataset import StateDataset, as_state
from weakspot.state_model.model import StateModel
from weakspot.types import Latent, Stacks

REAL = 256
"""Recorded states that principal directions are measured on."""
PRINCIPAL = 6
"""Number of principal directions."""
BATCH = 64


@dataclass(frozen=True)
class Direction:
    """A direction.

    Attributes:
        name: for requests.
        label: for people.
        vector: of length 1 (z,).
    """

    name: str
    label: str
    vector: Latent


def principal_directions(model: StateModel, dataset: StateDataset, indices: np.ndarray) -> tuple[Direction, ...]:
    """The directions that follow the principal components of the pictures of recorded states.

    In the N(0, I) space itself no direction has more variance than another.  So the principal components are those of the
    pixels, and each direction is the regression of the latents on one of them (GANSpace, Härkönen et al. 2020, section 2.2,
    does the same with activations).

    Args:
        model: the state model.
        dataset: the recorded states.
        indices: of those to choose from; :data:`REAL` of them are taken, evenly spaced.
    """
    chosen = indices[np.linspace(0, len(indices) - 1, min(REAL, len(indices))).astype(int)]
    stacks = dataset.stacks(chosen)
    latents = _encoded(model, stacks)
    latents = latents - latents.mean(axis=0)
    pixels = stacks.reshape(len(stacks), -1).astype(np.float32)
    pixels -= pixels.mean(axis=0)
    variances, components = np.linalg.eigh((pixels @ pixels.T).astype(np.float64))  # of the n states, not the many pixels
    shares = variances[::-1] / max(float(variances.sum()), 1e-12)
    directions: list[Direction] = []
    for number in range(min(PRINCIPAL, len(chosen) - 1)):
        slope = components[:, -1 - number] @ latents  # components are of unit length
        if (length := float(np.linalg.norm(slope))) > 1e-9:
            label = f"principal {number + 1} ({100 * shares[number]:.0f} %)"
            vector = torch.as_tensor((slope / length).astype(np.float32)).to(model.device)
            directions.append(Direction(f"principal-{number}", label, vector))
    return tuple(directions)


def _encoded(model: StateModel, stacks: Stacks) -> np.ndarray:
    """u of states (n, z), float64."""
    with torch.no_grad():
        parts = [model.encode(as_state(stacks[at : at + BATCH]).to(model.device)) for at in range(0, len(stacks), BATCH)]
    return np.concatenate([part.cpu().numpy() for part in parts]).astype(np.float64)


def action_directions(model: StateModel, perceive: Perceiver, latent: Latent) -> tuple[Direction, ...]:
    """For each action, the direction that raises its score most at a point, relative to the mean of all scores.

    They hold near the point only.  For continuous actions it is the mean of that dimension that rises.

    Args:
        model: the state model.
        perceive: A(s).
        latent: the point (1, z).
    """
    names = perceive.agent.spec.action_names
    points = latent.detach().expand(len(names), -1).clone().requires_grad_()
    scores = perceive(model.generate(points)).scores
    relative = scores if perceive.agent.spec.continuous else scores - scores.mean(dim=1, keepdim=True)
    (gradients,) = torch.autograd.grad(relative.diagonal().sum(), points)
    lengths = gradients.square().sum(dim=1).sqrt()
    return tuple(
        Direction(f"action-{number}", f"more {name}", gradients[number] / lengths[number])
        for number, name in enumerate(names)
        if float(lengths[number]) > 1e-12
    )

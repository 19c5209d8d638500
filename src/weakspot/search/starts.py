"""Where the searches of Algorithm 1 begin.

From one start all searches end in one optimum; from random ones most of them have far to go, and what is left of a state
on such a way is no state any more.  So the default draws many samples from the state model, keeps those that its own
bottleneck gives back best, and begins at those of them that the target ranks best.  They are states that could be, each in
a situation of its own, and none of them was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.errors import ConfigError
from weakspot.search.algorithm_1 import SearchDistribution
from weakspot.search.config import SynthesisConfig
from weakspot.state_model.model import StateModel
from weakspot.targets.base import Target
from weakspot.types import Latent, State

BATCH = 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Candidates:
    """Points at which a search could begin, and what the agent answers there.

    Attributes:
        noise: u (m, z).
        output: A(g(u)).
    """

    noise: Latent
    output: AgentOutput


def starts(
    model: StateModel,
    perceive: Perceiver,
    config: SynthesisConfig,
    real: Callable[[np.ndarray], State],
    pool: np.ndarray,
    progress: Progress = lambda done, total: None,
) -> Callable[[Target], SearchDistribution]:
    """Where the searches for any target begin, as a function of the target.

    Args:
        model: the state model.
        perceive: A(s), which is asked about every candidate once.
        config: how they begin, how many there are, and from which seed.
        real: gives the states of indices.
        pool: indices of the real states that ``start="data"`` may begin at.
        progress: called with the candidates done and their number.
    """
    if config.start == "prior":
        shape = (config.begun, model.latent)
        standard = SearchDistribution(torch.zeros(shape, device=model.device), torch.ones(shape, device=model.device))
        return lambda target: standard
    if config.start == "samples":
        candidates = drawn(model, perceive, config, progress)
    else:
        candidates = seen(model, perceive, config, real, pool, progress)
    return lambda target: best(candidates, target, config)


def drawn(model: StateModel, perceive: Perceiver, config: SynthesisConfig, progress: Progress) -> Candidates:
    """Of as many samples u ~ N(0, I) as ``config`` has candidates those with the smallest || g(f_mu(s)) - s ||^2, s = g(u):
    the share ``config.kept``, and one a search at least.

    Encoder and decoder have learned to give back real states; a sample that breaks something often comes back changed.
    """
    count = max(config.candidates, config.begun)
    random = np.random.default_rng([config.seed, 5])
    noise = torch.from_numpy(random.standard_normal((count, model.latent), np.float32)).to(model.device)
    outputs, changed = [], []
    with torch.no_grad():
        for part in noise.split(BATCH):
            state = model.generate(part)
            outputs.append(perceive(state))
            changed.append((model.reconstruct(state) - state).square().mean(dim=(1, 2, 3)))
            progress(min(BATCH * len(changed), count), count)
    kept = torch.cat(changed).argsort(stable=True)[: max(round(config.kept * count), config.begun)]
    return Candidates(noise[kept], concat_outputs(outputs).rows(kept))


def seen(
    model: StateModel, perceive: Perceiver, config: SynthesisConfig, real: Callable[[np.ndarray], State], pool: np.ndarray,
    progress: Progress,
) -> Candidates:  # fmt: skip
    """As many random real states as ``config`` has candidates, where they lie in the N(0, I) space.

    Raises:
        ConfigError: there are none.
    """
    if not len(pool):
        raise ConfigError("no real state to start from", expected="at least one", todo="collect more frames")
    chosen = np.random.default_rng([config.seed, 2]).permutation(pool)[: config.candidates]
    noise, outputs = [], []
    with torch.no_grad():
        for part in np.array_split(chosen, -(-len(chosen) // BATCH)):
            noise.append(model.encode(real(part).to(model.device)))
            outputs.append(perceive(model.generate(noise[-1])))
            progress(sum(len(points) for points in noise), len(chosen))
    return Candidates(torch.cat(noise), concat_outputs(outputs))


def best(candidates: Candidates, target: Target, config: SynthesisConfig) -> SearchDistribution:
    """Searches that begin at the candidates that ``target`` ranks best, with a small x_sigma; where they are fewer than the
    searches, with the best again."""
    order = target(candidates.output).argsort(stable=True)
    mean = candidates.noise[order[torch.arange(config.begun, device=order.device) % len(order)]]
    return SearchDistribution(mean, torch.full_like(mean, config.start_sigma))

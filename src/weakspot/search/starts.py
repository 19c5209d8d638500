"""Where the searches of Algorithm 1 start.

From a single start searches differ only in the noise they draw; from random starts most searches take long paths, which
leave the states that the model can represent.  The default therefore draws many samples u ~ N(0, I) from the state model,
keeps those with the smallest reconstruction error, and starts at those of them that the target ranks best.  They are
plausible and diverse states, and none of them is in the data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.errors import ConfigError
from weakspot.search.config import SynthesisConfig
from weakspot.search.distribution import SearchDistribution
from weakspot.state_model.model import StateModel
from weakspot.targets.base import Target
from weakspot.types import Latent, State

BATCH = 64
"""Candidates evaluated at once."""

RANDOM_STARTS = 999_983
"""Distinguishes the generator of random starts from those of the searches."""

Progress = Callable[[int, int], None]
"""Called with the number of candidates evaluated and their total."""


@dataclass(frozen=True)
class Candidates:
    """Points of the N(0, I) space at which a search could start.

    Attributes:
        noise: u (m, z).
        output: the agent's output A(g(u)) at each.
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
    """Evaluates the candidates once, and returns a function from a target to the starts of its searches.

    Args:
        model: the state model.
        perceive: A(s), evaluated once per candidate.
        config: where searches start, their number, and the seed.
        real: returns the real states (b, kc, h, w) of an array of indices.
        pool: indices of the real states that ``start="data"`` may choose from.
        progress: called with the number of candidates evaluated and their total.

    Raises:
        ConfigError: with ``start="data"``, ``pool`` is empty.
    """
    if config.start == "prior":
        shape = (config.total_searches, model.latent)
        standard = SearchDistribution(torch.zeros(shape, device=model.device), torch.ones(shape, device=model.device))
        return lambda target: standard
    if config.start == "random":
        random = random_starts(model, config)
        return lambda target: random
    if config.start == "samples":
        candidates = sample_candidates(model, perceive, config, progress)
    else:
        candidates = real_candidates(model, perceive, config, real, pool, progress)
    return lambda target: best_candidates(candidates, target, config)


def random_starts(model: StateModel, config: SynthesisConfig) -> SearchDistribution:
    """x_mu ~ N(0, I), x_sigma = ``config.start_sigma``: random samples of the state model, whatever the target."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + RANDOM_STARTS)
    mean = torch.randn(config.total_searches, model.latent, generator=generator).to(model.device)
    return SearchDistribution(mean, torch.full_like(mean, config.start_sigma))


def sample_candidates(model: StateModel, perceive: Perceiver, config: SynthesisConfig, progress: Progress) -> Candidates:
    """Samples u ~ N(0, I) of the state model with the smallest reconstruction error || g(f_mu(s)) - s ||^2, s = g(u).

    Draws ``config.candidates`` samples and keeps the share ``config.kept``, in both cases at least one per search.  Encoder
    and decoder have learned to reconstruct real states; an implausible sample usually comes back changed.
    """
    count = max(config.candidates, config.total_searches)
    random = np.random.default_rng([config.seed, 5])
    noise = torch.as_tensor(random.standard_normal((count, model.latent), np.float32)).to(model.device)
    outputs: list[AgentOutput] = []
    errors: list[Tensor] = []
    with torch.no_grad():
        for part in torch.split(noise, BATCH):
            state = model.generate(part)
            outputs.append(perceive(state))
            errors.append((model.reconstruct(state) - state).square().mean(dim=(1, 2, 3)))
            progress(min(BATCH * len(errors), count), count)
    plausible = torch.cat(errors).argsort(stable=True)[: max(round(config.kept * count), config.total_searches)]
    return Candidates(noise[plausible], concat_outputs(outputs).rows(plausible))


def real_candidates(
    model: StateModel, perceive: Perceiver, config: SynthesisConfig, real: Callable[[np.ndarray], State], pool: np.ndarray,
    progress: Progress,
) -> Candidates:  # fmt: skip
    """Random real states, ``config.candidates`` at most, encoded into the N(0, I) space.

    Raises:
        ConfigError: ``pool`` is empty.
    """
    if not len(pool):
        raise ConfigError("no real state to start from", expected="at least one", todo="collect more frames")
    chosen = np.random.default_rng([config.seed, 2]).permutation(pool)[: config.candidates]
    noise: list[Tensor] = []
    outputs: list[AgentOutput] = []
    with torch.no_grad():
        for part in np.array_split(chosen, -(-len(chosen) // BATCH)):
            noise.append(model.encode(real(part).to(model.device)))
            outputs.append(perceive(model.generate(noise[-1])))
            progress(sum(len(points) for points in noise), len(chosen))
    return Candidates(torch.cat(noise), concat_outputs(outputs))


def best_candidates(candidates: Candidates, target: Target, config: SynthesisConfig) -> SearchDistribution:
    """Starts at the candidates that ``target`` ranks best, with x_sigma = ``config.start_sigma``.

    If there are fewer candidates than searches, the best ones are used again.
    """
    order = target(candidates.output).argsort(stable=True)
    mean = candidates.noise[order[torch.arange(config.total_searches, device=order.device) % len(order)]]
    return SearchDistribution(mean, torch.full_like(mean, config.start_sigma))

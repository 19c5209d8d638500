"""Where the searches of Algorithm 1 begin.

From one start all searches end in one optimum; from random ones most of them have far to go, and what is left of a state
on such a way is no state any more.  So the default draws many samples from the state model and begins at those that the
target ranks best.  They are states that could be, each in a situation of its own, and none of them was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from weakspot.agents.base import AgentOutput, Perceiver
from weakspot.errors import ConfigError
from weakspot.state_model.model import StateModel
from weakspot.synthesis import SearchDistribution, SynthesisConfig
from weakspot.targets import Target
from weakspot.types import Latent, State

BATCH = 64


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
) -> Callable[[Target, int], SearchDistribution]:
    """Where the searches for any target begin: a function of the target and the number of the first search.

    Search j begins alike whatever batch it is in.

    Args:
        model: the state model.
        perceive: A(s), which is asked about every candidate once.
        config: ``start``, ``candidates``, ``start_sigma`` and ``states`` of it.
        real: gives the states of indices.
        pool: indices of the real states that ``start="data"`` may begin at.
    """
    if config.start == "prior":
        shape = (config.states, model.latent)
        standard = SearchDistribution(torch.zeros(shape, device=model.device), torch.ones(shape, device=model.device))
        return lambda target, first: standard
    noise = drawn(model, config) if config.start == "samples" else encoded(model, config, real, pool)
    candidates = answered(model, perceive, noise)
    return lambda target, first: best(candidates, target, config, first)


def drawn(model: StateModel, config: SynthesisConfig) -> Latent:
    """As many samples as ``config`` has candidates, and one a search at least: f(g(u)) of u ~ N(0, I).

    Going once through decoder and encoder takes off some of what no real state has: half as many again pass the object
    checks in Pong.
    """
    shape = (max(config.candidates, config.states), model.latent)
    noise = torch.from_numpy(np.random.default_rng([config.seed, 5]).standard_normal(shape, np.float32)).to(model.device)
    with torch.no_grad():
        return torch.cat([model.encode(model.generate(part)) for part in noise.split(BATCH)])


def encoded(model: StateModel, config: SynthesisConfig, real: Callable[[np.ndarray], State], pool: np.ndarray) -> Latent:
    """The u of as many random real states as ``config`` has candidates.

    Args:
        model: encodes them.
        config: settings.
        real: gives the states of indices.
        pool: indices of the real states.

    Raises:
        ConfigError: there are none.
    """
    if not len(pool):
        raise ConfigError("no real state to start from", expected="at least one", todo="collect more frames")
    chosen = np.random.default_rng([config.seed, 2]).permutation(pool)[: config.candidates]
    with torch.no_grad():
        parts = [model.encode(real(part).to(model.device)) for part in np.array_split(chosen, -(-len(chosen) // BATCH))]
    return torch.cat(parts)


def answered(model: StateModel, perceive: Perceiver, noise: Latent) -> Candidates:
    """Candidates at the points ``noise`` (m, z)."""
    with torch.no_grad():
        outputs = [perceive(model.generate(part)) for part in noise.split(BATCH)]
    values = [output.value for output in outputs if output.value is not None]
    scores = torch.cat([output.scores for output in outputs])
    return Candidates(noise, AgentOutput(scores, torch.cat(values) if values else None))


def best(candidates: Candidates, target: Target, config: SynthesisConfig, first: int = 0) -> SearchDistribution:
    """Searches that begin at the candidates that ``target`` ranks best, from the ``first`` best on, with a small x_sigma;
    where they are fewer than the searches, with the best again."""
    order = target(candidates.output).argsort(stable=True)
    chosen = order[(first + torch.arange(config.states, device=order.device)) % len(order)]
    mean = candidates.noise[chosen]
    return SearchDistribution(mean, torch.full_like(mean, config.start_sigma))

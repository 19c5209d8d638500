"""Algorithm 1 of the paper (section 3), batched: gradient descent in the latent space of the state model.

For each state, a search distribution x = (x_mu, x_sigma) over the N(0, I) space of the state model is optimised:

    repeat:  eps ~ N(0, I),   u = x_mu + x_sigma * eps,   s = g(u),
             descend  E(x) = M(T(A(s))) + alpha KL(N(x_mu, x_sigma^2), N(0, I))        in x_mu and x_sigma

with T the target and M from :mod:`weakspot.search.energy`.  A search ends when it has converged, or after ``steps`` steps.

The result is one draw from each x, as in the paper, with the agent's output there.  Of m n searches, the n whose draws have
the lowest T are kept: where a search ends depends on where it starts, and many end no better than the best few percent of
random samples.  The state at x_mu itself is not typical: in directions in which the target is flat, the regulariser pulls
x_mu towards 0, the average of all states.

``preset="paper"`` is the listing as printed: gradient descent from x_mu = 0 and x_sigma = 1, M(T) = T, and m = 1.  The
default descends with Adam in x_mu and log x_sigma (:mod:`weakspot.search.descent`), starts each search at a different point
(:mod:`weakspot.search.starts`), and takes the bounded M and m = 3.

Each search has its own random numbers, so that the other searches of a batch affect it only through rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.data.dataset import as_state
from weakspot.search.config import SynthesisConfig
from weakspot.search.descent import descent
from weakspot.search.distribution import SearchDistribution
from weakspot.search.energy import (
    TargetScale,
    check_differentiable,
    check_scale,
    energy_gradients,
    measure_scale,
    shortfall,
)
from weakspot.search.method import BACKWARD, Cost, SearchResult, Sources
from weakspot.search.starts import starts
from weakspot.state_model.model import StateModel
from weakspot.targets.base import Target
from weakspot.types import Latent, PerState, State

BATCH = 96
"""Searches in one batch; larger batches take more memory and, on a CPU, no less time per search."""

CANDIDATE_PASSES = {"samples": 3, "data": 2, "random": 0, "prior": 0}
"""Passes through the state model per candidate start: a sample is decoded, encoded and decoded again; a real state is
encoded and decoded."""


Watch: TypeAlias = Callable[[int, Int[np.ndarray, " m"], State], None]
"""Sees the states (m, kc, h, w) of the searches that take a step."""


@dataclass(frozen=True)
class Findings:
    """Result of Algorithm 1 for one target, one row per synthesised state.

    Attributes:
        state: g(u) of one draw u from each x (n, kc, h, w) in [0, 1].
        noise: these u (n, z).
        output: the agent's outputs at the states.
        distribution: x at the end of each search.
        target: T(A(s)) of each state, unscaled (n,).
        kl: KL(x, N(0, I)) at the end of each search, in nats (n,).
        energy: E at each step (n, steps), NaN after a search has stopped.
        iterations: steps of each search (n,).
        number: of each search among all that were run (n,).
        spent: steps of all searches together, including those whose states were discarded.
    """

    state: State
    noise: Latent
    output: AgentOutput
    distribution: SearchDistribution
    target: PerState
    kl: PerState
    energy: Float[np.ndarray, "n steps"]
    iterations: Int[np.ndarray, " n"]
    number: Int[np.ndarray, " n"]
    spent: int

    def rows(self, chosen: Int[np.ndarray, " m"]) -> Findings:
        """The states ``chosen``; ``spent`` is unchanged."""
        rows = torch.as_tensor(chosen).to(self.state.device)
        distribution = SearchDistribution(self.distribution.mean[rows], self.distribution.sigma[rows])
        return Findings(
            self.state[rows], self.noise[rows], self.output.rows(rows), distribution,
            self.target[rows], self.kl[rows], self.energy[chosen], self.iterations[chosen],
            self.number[chosen], self.spent,
        )  # fmt: skip


def draw_noise(config: SynthesisConfig, count: int, latent: int, first: int = 0) -> Float[Tensor, "count draws z"]:
    """eps of every step and of the final draw, from one generator per search; ``first`` is the number of the first one."""
    eps = torch.empty(count, config.steps + 1, latent)
    for j in range(count):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + first + j)
        torch.randn(config.steps + 1, latent, generator=generator, out=eps[j])
    return eps


def synthesize(
    model: StateModel,
    perceive: Perceiver,
    target: Target,
    start: SearchDistribution,
    config: SynthesisConfig,
    scale: TargetScale,
    *,
    first: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    watch: Watch = lambda step, searches, state: None,
) -> Findings:
    """Runs Algorithm 1 from ``start``, in batches, and keeps the best ``config.states`` searches, in their order.

    A search that has converged leaves its batch.

    Args:
        model: g, which maps N(0, I) to states.
        perceive: A(s).
        target: T.
        start: where the searches start, one row each; see :mod:`weakspot.search.starts`.
        config: settings.
        scale: tau and T* of the target.
        first: number of the first search, which selects its random numbers.
        progress: called with the number of steps done and the maximum number of steps.
        watch: called in each step with its number, the numbers of the searches that take it, and their states.

    Raises:
        TargetError: the target is not finite, or does not depend on the state.
    """
    check_scale(target, scale)
    count = len(start.mean)
    total = config.steps * -(-count // BATCH)
    parts: list[Findings] = []
    for at in range(0, count, BATCH):
        part = SearchDistribution(start.mean[at : at + BATCH], start.sigma[at : at + BATCH])
        done = config.steps * len(parts)
        parts.append(
            _search_batch(
                model, perceive, target, part, config, scale, first + at,
                lambda steps, done=done: progress(done + steps, total), watch,
            )
        )  # fmt: skip
    findings = _concat(parts)
    return findings.rows(np.sort(findings.target.cpu().numpy().argsort(kind="stable")[: config.states]))


def _search_batch(
    model: StateModel, perceive: Perceiver, target: Target, start: SearchDistribution, config: SynthesisConfig,
    scale: TargetScale, first: int, progress: Callable[[int], None], watch: Watch,
) -> Findings:  # fmt: skip
    """Runs one batch of searches, and returns all of them."""
    count = len(start.mean)
    descending = descent(config.optimizer, start, config.learning_rate)
    tolerance = config.tolerance * (scale.scale if config.enough == "unscaled" else 1.0)
    eps = draw_noise(config, count, model.latent, first).to(model.device)
    energies = np.full((count, config.steps), np.nan, dtype=np.float32)
    iterations = np.full(count, config.steps)
    active = torch.arange(count, device=model.device)
    for step in range(config.steps):
        parameters = descending.parameters(active)
        x = descending.distribution(parameters)
        state = model.generate(x.mean + x.sigma * eps[active, step])
        watch(step, first + active.cpu().numpy(), state.detach())
        values = target(perceive(state))
        energy = shortfall(values, scale, config) + config.regulariser * x.kl()
        if step == 0:
            check_differentiable(target, values, x.mean)
        descending.step(active, energy_gradients(target, energy, parameters))
        energies[active.cpu().numpy(), step] = energy.detach().cpu().numpy()
        progress(step + 1)
        stopped = _converged(energies[active.cpu().numpy(), : step + 1], config.patience, tolerance)
        if stopped.any():
            iterations[active.cpu().numpy()[stopped]] = step + 1
            active = active[torch.as_tensor(~stopped).to(model.device)]
            if not len(active):
                break
    progress(config.steps)
    with torch.no_grad():
        x = descending.result()
        u = x.mean + x.sigma * eps[:, -1]
        state = model.generate(u)
        output = perceive(state)
        numbers, spent = first + np.arange(count), int(iterations.sum())
        return Findings(state, u, output, x, target(output), x.kl(), energies, iterations, numbers, spent)


def _concat(parts: list[Findings]) -> Findings:
    """The searches of all batches, in order."""
    return Findings(
        torch.cat([part.state for part in parts]),
        torch.cat([part.noise for part in parts]),
        concat_outputs([part.output for part in parts]),
        SearchDistribution(
            torch.cat([part.distribution.mean for part in parts]), torch.cat([part.distribution.sigma for part in parts])
        ),
        torch.cat([part.target for part in parts]),
        torch.cat([part.kl for part in parts]),
        np.concatenate([part.energy for part in parts]),
        np.concatenate([part.iterations for part in parts]),
        np.concatenate([part.number for part in parts]),
        sum(part.spent for part in parts),
    )


def _converged(energies: Float[np.ndarray, "n steps"], window: int, tolerance: float) -> Bool[np.ndarray, " n"]:
    """Which searches have stopped improving: mean energy of the last ``window`` steps against that of as many before."""
    n = energies.shape[1]
    if n < 2 * window:
        return np.zeros(len(energies), dtype=bool)
    late, early = energies[:, n - window :].mean(axis=1), energies[:, n - 2 * window : n - window].mean(axis=1)
    return early - late < tolerance


@dataclass(frozen=True)
class AlgorithmOne:
    """Algorithm 1 as a :class:`~weakspot.search.method.Method`.

    Candidate starts that serve several targets are counted in the cost of each of them.

    Attributes:
        config: settings; each call replaces the number of states and the seed.
        name: see :class:`weakspot.search.method.Method`.
    """

    config: SynthesisConfig = field(default_factory=SynthesisConfig)
    name: str = "Algorithm 1"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`."""
        config = replace(self.config, states=count, seed=seed)
        start = _cached_starts(sources, config)
        scale = measure_scale(target, sources.outputs)
        findings = synthesize(sources.model, sources.perceive, target, start(target), config, scale)
        return SearchResult(findings.state, findings.output, findings.target, _cost(sources, config, findings))


def clear_candidate_cache() -> None:
    """Frees the candidate starts of the last call, which are cached between targets."""
    _cached_starts.cache_clear()


@lru_cache(maxsize=1)
def _cached_starts(sources: Sources, config: SynthesisConfig) -> Callable[[Target], SearchDistribution]:
    """The starts as a function of the target; the same candidates serve one target after another."""
    dataset = sources.dataset
    return starts(sources.model, sources.perceive, config, lambda i: as_state(dataset.stacks(i)), sources.indices)


def _cost(sources: Sources, config: SynthesisConfig, findings: Findings) -> Cost:
    """Passes for the candidates, all steps of all searches, and the final draws."""
    candidates = {
        "samples": max(config.candidates, config.total_searches),
        "data": min(config.candidates, len(sources.indices)),
        "random": 0,
        "prior": 0,
    }[config.start]
    steps = findings.spent * (1 + BACKWARD) + config.total_searches
    return Cost(model=steps + CANDIDATE_PASSES[config.start] * candidates, agent=steps + candidates)

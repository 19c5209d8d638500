"""Algorithm 1 of the paper (section 3), batched: gradient descent in the latent space of the state model.

For each state, a search distribution x = (x_mu, x_sigma) over the N(0, I) space of the state model is optimised:

    repeat:  eps ~ N(0, I),   u = x_mu + x_sigma * eps,   s = g(u),
             descend  E(x) = M(T(A(s))) + alpha KL(N(x_mu, x_sigma^2), N(0, I))        in x_mu and x_sigma

with T the target and M from :mod:`weakspot.search.energy`.  A search ends when it has converged, or after ``steps`` steps.

The result is one draw from each x, as in the paper, with the agent's output there.  Of m n searches, the n whose draws have
the lowest T are kept: where a search ends depends on where it starts, and many end no better than the best few percent of
random samples.  Those that are behind after :data:`RACE` steps end there.  The state at x_mu itself is not
typical: in directions in which the target is flat, the regulariser pulls x_mu towards 0, the average of all states.

``preset="paper"`` is the listing as printed: gradient descent from x_mu = 0 and x_sigma = 1, M(T) = T, and m = 1.  The
default descends with Adam in x_mu and log x_sigma (:mod:`weakspot.search.descent`), starts each search at a different point
(:mod:`weakspot.search.starts`), and takes the bounded M and m = 3.

Each search has its own random numbers, so that the other searches of a batch affect its steps only through rounding.  A CPU
computes two batches at once, each with one thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
    check_scale,
    energy_gradients,
    is_differentiable,
    measure_scale,
    no_gradient,
    shortfall,
)
from weakspot.search.method import BACKWARD, Cost, SearchResult, Sources
from weakspot.search.starts import starts
from weakspot.state_model.model import StateModel
from weakspot.system.compute import threads
from weakspot.targets.base import Target
from weakspot.types import Latent, PerState, State

BATCH = 48
"""Searches in one batch on a CPU, at most; larger batches take more memory and no less time per search."""
CUDA_BATCH = 384
"""Searches in one batch on CUDA, at most."""
WORKERS = 2
"""Batches that a CPU computes at once if it has two threads.  The batches are the same if it has one."""
RACE = 20
"""Number of steps after which searches are compared."""
RECENT = 5
"""Last steps whose mean energy is compared."""

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
        draws: number of final draws, including those that were discarded.
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
    draws: int


class Noise:
    """eps of every step and of the final draw, from one generator for each search.

    Args:
        seed: of all searches.
        count: of searches.
        latent: z.
        first: number of the first search, which selects its random numbers.
    """

    def __init__(self, seed: int, count: int, latent: int, first: int = 0) -> None:
        numbers = range(seed * 1_000_003 + first, seed * 1_000_003 + first + count)
        self._generators: list[torch.Generator] = [torch.Generator().manual_seed(number) for number in numbers]
        self._latent = latent

    def draw(self, searches: Int[np.ndarray, " m"]) -> Latent:
        """The next eps (m, z) of some searches."""
        return torch.stack([torch.randn(self._latent, generator=self._generators[int(j)]) for j in searches])


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
    descending = descent(config.optimizer, start, config.learning_rate)
    tolerance = config.tolerance * (scale.scale if config.enough == "unscaled" else 1.0)
    noise = Noise(config.seed, count, model.latent, first)
    energies = np.full((count, config.steps), np.nan, dtype=np.float32)
    iterations = np.zeros(count, dtype=int)
    active = kept = np.arange(count)

    def gradients_of(batch: _Batch) -> _Gradients:
        parameters = descending.parameters(batch.rows)
        x = descending.distribution(parameters)
        state = model.generate(x.mean + x.sigma * batch.eps)
        values = target(perceive(state))
        energy = shortfall(values, scale, config) + config.regulariser * x.kl()
        depends = batch.step > 0 or is_differentiable(values, x.mean)
        return _Gradients(energy_gradients(target, energy, parameters), energy.detach(), state.detach(), depends)

    with _compute_together(model.device) as compute:
        for step in range(config.steps):
            rows, eps = torch.as_tensor(active, device=model.device), noise.draw(active).to(model.device)
            batches = [_Batch(*pair, step) for pair in zip(_batches(rows), _batches(eps), strict=True)]
            results = compute(gradients_of, batches)
            if not any(result.depends for result in results):
                raise no_gradient(target)
            by_parameter = zip(*(result.gradients for result in results), strict=True)
            descending.step(rows, tuple(torch.cat(parts) for parts in by_parameter))
            for batch, result in zip(batches, results, strict=True):
                searches = batch.rows.cpu().numpy()
                energies[searches, step] = result.energy.cpu().numpy()
                watch(step, first + searches, result.state)
            iterations[active] += 1
            progress(step + 1, config.steps)
            active = active[~_converged(energies[active, : step + 1], config.patience, tolerance)]
            if step + 1 == RACE < config.steps:
                kept = _ahead(energies, iterations, math.ceil(config.ahead * config.states))
                active = np.intersect1d(active, kept)
            if not len(active):
                break
    progress(config.steps, config.steps)
    rows = torch.as_tensor(kept, device=model.device)
    x, eps = descending.result().rows(rows), noise.draw(kept).to(model.device)
    u = x.mean + x.sigma * eps
    with torch.no_grad():
        states = [model.generate(part) for part in _batches(u)]
        output = concat_outputs([perceive(state) for state in states])
        values = target(output)
    best = values.argsort(stable=True)[: config.states].sort().values
    chosen = kept[best.cpu().numpy()]
    return Findings(
        torch.cat(states)[best], u[best], output.rows(best), x.rows(best), values[best], x.rows(best).kl(), energies[chosen],
        iterations[chosen], first + chosen, int(iterations.sum()), len(kept),
    )  # fmt: skip


@dataclass(frozen=True)
class _Batch:
    """Some searches in one step: their rows (m,), their eps (m, z), and the number of the step."""

    rows: Int[Tensor, " m"]
    eps: Latent
    step: int


@dataclass(frozen=True)
class _Gradients:
    """What a batch yields: gradients of both parameters, energies (m,), states, and whether the target depends on these."""

    gradients: tuple[Tensor, ...]
    energy: PerState
    state: State
    depends: bool


_Compute: TypeAlias = Callable[[Callable[[_Batch], _Gradients], Sequence[_Batch]], list[_Gradients]]
"""Applies a function to all batches."""


@contextmanager
def _compute_together(device: torch.device) -> Generator[_Compute]:
    """Threads that compute several batches at once, no more than torch may use; on CUDA, one batch after the other."""
    if device.type != "cpu":
        yield lambda function, batches: [function(batch) for batch in batches]
        return
    workers = min(WORKERS, torch.get_num_threads())
    with threads(1), ThreadPoolExecutor(workers) as pool:
        yield lambda function, batches: list(pool.map(function, batches))


def _batches(values: Tensor) -> tuple[Tensor, ...]:
    """Values of all searches as batches of about the same size; on a CPU, :data:`WORKERS` of them have equal work."""
    if values.device.type != "cpu":
        return torch.split(values, CUDA_BATCH)
    rounds = math.ceil(len(values) / (WORKERS * BATCH))
    return torch.tensor_split(values, min(len(values), WORKERS * rounds))


def _ahead(energies: Float[np.ndarray, "n steps"], iterations: Int[np.ndarray, " n"], count: int) -> Int[np.ndarray, " m"]:
    """The ``count`` searches with the lowest energies in their last steps, in their order."""
    last = [row[max(0, end - RECENT) : end].mean() for row, end in zip(energies, iterations.tolist(), strict=True)]
    return np.sort(np.argsort(last, kind="stable")[:count])


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
    steps = findings.spent * (1 + BACKWARD) + findings.draws
    return Cost(model=steps + CANDIDATE_PASSES[config.start] * candidates, agent=steps + candidates)

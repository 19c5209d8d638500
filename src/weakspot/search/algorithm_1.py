"""Algorithm 1 of the paper, batched: descends in the state model's latent space until the agent sees a wanted state.

For each state a search distribution x = (x_mu, x_sigma) over the N(0, I) space of the state model is optimised:

    repeat:  eps ~ N(0, I),   u = x_mu + x_sigma * eps,   s = g(u),
             descend  E(x) = M(T(A(s))) + alpha KL(N(x_mu, x_sigma^2), N(0, I))        in x_mu and log x_sigma

with T the target, and Adam as the descent.  M says what the target is still missing,

    M(T) = w softplus((T - T*) / (w tau)),

with tau the standard deviation of T over the real states (so that one alpha serves every agent and target) and T* its
value at the best of them.  Far above T*, M falls as T / tau; beyond T* nothing more is to be gained, so that the regulariser
leads the search to the likeliest states that are as good.  The paper's M is T itself, without end and not scaled;
``enough="never"`` takes T / tau.

What is returned is one draw from each x, as in the paper, and the agent's answers to it.  Of m n searches those n are kept
whose draws have the lowest T: what a search finds depends on where it begins, and many end among the best few percent of
what the state model draws by itself.  The state at x_mu itself is no typical one: where the target leaves a direction free,
the regulariser draws x_mu towards 0, the average of all states.

Departures from the paper's listing beside M and m (the paper's is 1): x_sigma is optimised through its logarithm, which
keeps it positive; and where the paper starts every search at x_mu = 0, the default starts each somewhere else
(:mod:`weakspot.search.starts`).

Each search has random numbers of its own: of what is optimised beside it nothing but rounding reaches it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.errors import TargetError
from weakspot.search.config import SynthesisConfig
from weakspot.state_model.model import StateModel
from weakspot.targets.base import Target
from weakspot.types import Latent, PerState, State

AT_ONCE = 96
"""Searches in one batch; more of them take more memory, and on a processor no less time each."""


@dataclass(frozen=True)
class SearchDistribution:
    """x = (x_mu, x_sigma), one row a state."""

    mean: Latent
    sigma: Latent

    def kl(self) -> PerState:
        """KL(N(mean, sigma^2) || N(0, I)) in nats (eq. 5)."""
        return 0.5 * (self.mean.square() + self.sigma.square() - 1.0 - 2.0 * self.sigma.log()).sum(dim=1)


@dataclass(frozen=True)
class Findings:
    """What one target's search found, one row a state.

    Attributes:
        state: g(u) of one draw u from each x (n, kc, h, w) in [0, 1].
        noise: these u (n, z).
        output: the agent's answers to them.
        distribution: where the searches ended.
        target: T(A(s)) of each state, unscaled.
        kl: of each search distribution, in nats.
        energy: E at each step (n, steps), NaN after a search has stopped.
        iterations: steps each search took (n,).
        spent: steps of all searches, with those of which nothing was kept.
    """

    state: State
    noise: Latent
    output: AgentOutput
    distribution: SearchDistribution
    target: PerState
    kl: PerState
    energy: Float[np.ndarray, "n steps"]
    iterations: Int[np.ndarray, " n"]
    spent: int

    def rows(self, kept: Int[np.ndarray, " m"]) -> Findings:
        """These states alone; what was spent stays."""
        at = torch.from_numpy(kept).to(self.state.device)
        distribution = SearchDistribution(self.distribution.mean[at], self.distribution.sigma[at])
        return Findings(
            self.state[at], self.noise[at], self.output.rows(at), distribution,
            self.target[at], self.kl[at], self.energy[kept], self.iterations[kept], self.spent,
        )  # fmt: skip


@dataclass(frozen=True)
class TargetScale:
    """What a target's values over real states say of it.

    Attributes:
        scale: tau, their standard deviation.
        best: the lowest of them.
    """

    scale: float
    best: float


def measure_scale(target: Target, answers: AgentOutput) -> TargetScale:
    """Measures ``target`` over the agent's ``answers`` to real states.

    Raises:
        TargetError: the target is the same for all of them, or not finite.
    """
    values = target(answers)
    known = TargetScale(float(values.std()), float(values.min()))
    _refuse_without_spread(target, known)
    return known


def _refuse_without_spread(target: Target, known: TargetScale) -> None:
    if not (np.isfinite(known.scale) and known.scale > 0):
        raise TargetError(
            f"target {target.name!r} has a spread of {known.scale} over the real states",
            expected="a target that tells states apart",
            todo="ask for others with --targets; if it is a function of your own, check that it uses its argument",
        )


def noise(config: SynthesisConfig, count: int, latent: int, first: int = 0) -> Float[Tensor, "count draws z"]:
    """eps of every step and one more for the final draw, from a generator for each of ``count`` searches."""
    drawn = torch.empty(count, config.steps + 1, latent)
    for j in range(count):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + first + j)
        torch.randn(config.steps + 1, latent, generator=generator, out=drawn[j])
    return drawn


def synthesize(
    model: StateModel,
    perceive: Perceiver,
    target: Target,
    start: SearchDistribution,
    config: SynthesisConfig,
    known: TargetScale,
    *,
    first: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Findings:
    """Runs Algorithm 1 from ``start``, many searches at once, and keeps the best ``config.states``, in the order of their
    starts; a search that has converged leaves its batch.

    Args:
        model: g, in the space where the data's codes are N(0, I).
        perceive: A(s).
        target: T.
        start: where the searches begin, one row for each; see :mod:`weakspot.search.starts`.
        config: settings.
        known: tau and T*.
        first: number of the first search, for its random numbers.
        progress: called with the steps done and their largest number.

    Raises:
        TargetError: the target is not finite, or does not depend on the state.
    """
    _refuse_without_spread(target, known)
    count = len(start.mean)
    total = config.steps * -(-count // AT_ONCE)
    parts = []
    for at in range(0, count, AT_ONCE):
        begin = SearchDistribution(start.mean[at : at + AT_ONCE], start.sigma[at : at + AT_ONCE])
        done = config.steps * len(parts)
        parts.append(
            _searched(
                model, perceive, target, begin, config, known, first + at,
                lambda steps, done=done: progress(done + steps, total),
            )
        )  # fmt: skip
    found = _joined(parts)
    return found.rows(np.sort(found.target.cpu().numpy().argsort(kind="stable")[: config.states]))


def _searched(
    model: StateModel, perceive: Perceiver, target: Target, start: SearchDistribution, config: SynthesisConfig,
    known: TargetScale, first: int, progress: Callable[[int], None],
) -> Findings:  # fmt: skip
    """One batch of searches, all of them."""
    count = len(start.mean)
    mean = start.mean.detach().clone()
    log_sigma = start.sigma.detach().log()
    moments = [torch.zeros_like(mean) for _ in range(4)]
    eps = noise(config, count, model.latent, first).to(model.device)
    energies = np.full((count, config.steps), np.nan, dtype=np.float32)
    iterations = np.full(count, config.steps)
    active = torch.arange(count, device=model.device)
    for step in range(config.steps):
        x_mean = mean[active].requires_grad_()
        x_log_sigma = log_sigma[active].requires_grad_()
        sigma = x_log_sigma.exp()
        state = model.generate(x_mean + sigma * eps[active, step])
        wanted = target(perceive(state))
        energy = _missing(wanted, known, config) + config.regulariser * SearchDistribution(x_mean, sigma).kl()
        gradient = gradients(energy, wanted, (x_mean, x_log_sigma), target, check=step == 0)
        for parameter, slope, (first_moment, second_moment) in zip(
            (mean, log_sigma), gradient, (moments[:2], moments[2:]), strict=True
        ):
            parameter[active] -= config.learning_rate * _adam(first_moment, second_moment, active, slope, step + 1)
        energies[active.cpu().numpy(), step] = energy.detach().cpu().numpy()
        progress(step + 1)
        stopped = _converged(energies[active.cpu().numpy(), : step + 1], config)
        if stopped.any():
            iterations[active.cpu().numpy()[stopped]] = step + 1
            active = active[torch.from_numpy(~stopped).to(model.device)]
            if not len(active):
                break
    progress(config.steps)
    found = SearchDistribution(mean, log_sigma.exp())
    with torch.no_grad():
        u = found.mean + found.sigma * eps[:, -1]
        state = model.generate(u)
        output = perceive(state)
        spent = int(iterations.sum())
        return Findings(state, u, output, found, target(output), found.kl(), energies, iterations, spent)


def _joined(parts: list[Findings]) -> Findings:
    """The searches of all batches, one after another."""
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
        sum(part.spent for part in parts),
    )


def _missing(wanted: PerState, known: TargetScale, config: SynthesisConfig) -> PerState:
    """M, the first term of E."""
    if config.enough == "never":
        return wanted / known.scale
    return config.softness * F.softplus((wanted - known.best) / (config.softness * known.scale))


def energy_equation(target: Target, known: TargetScale, config: SynthesisConfig) -> str:
    """E with its numbers, for people."""
    regulariser = f"{config.regulariser:g} KL"
    if config.enough == "never":
        return f"E = ({target.equation}) / {known.scale:.3g} + {regulariser}"
    width = config.softness * known.scale
    missing = f"{config.softness:g} softplus((T {-known.best:+.3g}) / {width:.3g})"
    return f"E = {missing} + {regulariser}, T = {target.equation}"


def gradients(
    energy: PerState, wanted: PerState, inputs: tuple[Tensor, ...], target: Target, check: bool
) -> tuple[Tensor, ...]:
    """Gradients of the summed energies in ``inputs``, of which ``wanted``, the target's values, are a part.

    Raises:
        TargetError: a gradient is not finite; or, with ``check``, none flows from the target to the first of the inputs.
    """
    if check:
        flows = wanted.requires_grad
        if flows:
            (slope,) = torch.autograd.grad(wanted.sum(), inputs[0], retain_graph=True, allow_unused=True)
            flows = slope is not None and bool((slope != 0).any())
        if not flows:
            raise TargetError(
                f"target {target.name!r} does not depend on the state: no gradient comes back from it",
                expected="a differentiable function of the agent's scores or value",
                todo="avoid .item(), .detach(), argmax and comparisons in the target",
            )
    slopes = torch.autograd.grad(energy.sum(), inputs)
    for gradient in slopes:
        if not torch.isfinite(gradient).all():
            raise TargetError(
                f"the gradient of target {target.name!r} is not finite",
                expected="a target with a finite slope",
                todo="add a small constant under roots and logarithms of the target",
            )
    return slopes


def _adam(first_moment: Tensor, second_moment: Tensor, active: Tensor, slope: Tensor, step: int) -> Tensor:
    """Adam's direction for the active rows (Kingma and Ba 2015), beta = (0.9, 0.999); updates the moments in place."""
    first_moment[active] = 0.9 * first_moment[active] + 0.1 * slope
    second_moment[active] = 0.999 * second_moment[active] + 0.001 * slope.square()
    m = first_moment[active] / (1 - 0.9**step)
    v = second_moment[active] / (1 - 0.999**step)
    return m / (v.sqrt() + 1e-8)


def _converged(energies: np.ndarray, config: SynthesisConfig) -> np.ndarray:
    """Which states' energies no longer fall: the mean over the last ``patience`` steps against that before."""
    n, window = energies.shape[1], config.patience
    if n < 2 * window:
        return np.zeros(len(energies), dtype=bool)
    late, early = energies[:, n - window :].mean(axis=1), energies[:, n - 2 * window : n - window].mean(axis=1)
    return early - late < config.tolerance

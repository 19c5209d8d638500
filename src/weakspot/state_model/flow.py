"""The learned prior of the recipe ``fast``: a flow that carries N(0, I) to the distribution of the data's codes.

In whitened space (:mod:`weakspot.state_model.whitening`) the codes have mean 0 and covariance I, but they are no Gaussian:
a Gaussian cannot say that there is one ball, not two and not none.  What it gets wrong is in the dimensions that hold more
signal than noise, a few dozen; the flow acts on those, and the others stay what they are, N(0, I).  The flow is learned by
flow matching (Lipman et al. 2023; Albergo and Vanden-Eijnden 2023) on the path

    x_t = cos(pi t / 2) x_0 + sin(pi t / 2) x_1,        x_0 ~ N(0, I),   x_1 a code of the data,   t from 0 to 1,
    minimise  E || v(x_t, t) - d x_t / dt ||^2,         d x_t / dt = pi / 2 (cos(pi t / 2) x_1 - sin(pi t / 2) x_0),

and a code is made by integrating dx / dt = v(x, t) from noise.  On this path a Gaussian of covariance I stays where it is:
v = 0 is the whitened Gaussian itself, the network starts there, and only learns what that Gaussian gets wrong.  So few
integration steps are enough.  Backwards in time, the same integration gives the noise of a code.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from weakspot.files import write_atomic
from weakspot.state_model.schedule import warmed_cosine
from weakspot.state_model.whitening import Whitening
from weakspot.types import Latent, PerState

Moments: TypeAlias = Float[Tensor, " m"]

Timing: TypeAlias = tuple[Tensor, tuple[Tensor, ...]]
"""What the network makes of a moment: an embedding, and a modulation for each block."""

FREQUENCIES = 16
"""Frequencies in which the network is told the time."""


@dataclass(frozen=True)
class FlowConfig:
    """Settings of the flow."""

    width: int = 512
    depth: int = 4
    signal: float = 1.0
    """Signal-to-noise ratio from which on a dimension is carried by the flow."""
    integration: int = 4
    """Midpoint steps from noise to code, two evaluations of the network each."""
    learning_rate: float = 1e-3
    batch_size: int = 256
    average: float = 0.999
    """Decay of the running average of the weights, which is what is used in the end."""


class Block(nn.Module):
    """x + W_2 silu(W_1 n(x)), the normalisation n scaled and shifted according to the time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        for layer in (self.modulation, self.second):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        scale, shift = modulation.chunk(2, dim=1)
        return x + self.second(F.silu(self.first(self.norm(x) * (1 + scale) + shift)))


class Velocity(nn.Module):
    """v(x, t): a residual network; zero before training.

    Args:
        dimensions: of x.
        config: its size.
        dtype: number format of its products.
    """

    def __init__(self, dimensions: int, config: FlowConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dimensions, self.dtype = dimensions, dtype
        self.enter = nn.Linear(dimensions, config.width)
        self.moment = nn.Sequential(nn.Linear(2 * FREQUENCIES, config.width), nn.SiLU())
        self.blocks = nn.ModuleList(Block(config.width) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, dimensions)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Latent, moment: Moments) -> Latent:
        """v at each x (b, z), at a moment of its own (b,) or at one for all (1,)."""
        return self.at(x, self.timing(moment))

    def timing(self, moment: Moments) -> Timing:
        """All that the network makes of the time alone."""
        angles = moment[:, None] * math.pi * torch.arange(1, FREQUENCIES + 1, device=moment.device)
        with self._mixed(moment.device):
            known = self.moment(torch.cat([angles.cos(), angles.sin()], dim=1))
            return known, tuple(block.modulation(known) for block in self._blocks())

    def at(self, x: Latent, timing: Timing) -> Latent:
        """v at each x (b, z), at moments that were told by :meth:`timing`."""
        known, modulations = timing
        with self._mixed(x.device):
            hidden = self.enter(x) + known
            for block, modulation in zip(self._blocks(), modulations, strict=True):
                hidden = block(hidden, modulation)
            return self.leave(self.norm(hidden)).float()

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def _mixed(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)


@dataclass(frozen=True)
class FlowPrior:
    """The codes of the data as a function of N(0, I), and back.

    Attributes:
        whitening: the Gaussian of the codes.
        velocity: v, trained, its parameters frozen.
        integration: midpoint steps.
    """

    whitening: Whitening
    velocity: Velocity
    integration: int

    @property
    def device(self) -> torch.device:
        return self.whitening.device

    def to_latent(self, noise: Latent) -> Latent:
        """z of u, differentiable."""
        return self.whitening.to_latent(self._carried(noise, 0.0, 1.0))

    def to_noise(self, latent: Latent) -> Latent:
        """u of z."""
        return self._carried(self.whitening.to_noise(latent), 1.0, 0.0)

    def tensors(self) -> dict[str, Tensor]:
        """What a file has to keep of it."""
        flow = {f"flow.{name}": tensor for name, tensor in self.velocity.state_dict().items()}
        return {**self.whitening.tensors(), **flow}

    def _carried(self, whole: Latent, start: float, end: float) -> Latent:
        x, rest = whole[:, : self.velocity.dimensions], whole[:, self.velocity.dimensions :]
        step = (end - start) / self.integration
        for i in range(self.integration):
            now = start + i * step
            half = x + 0.5 * step * self._frozen.at(x, self._timing(now))
            x = x + step * self._frozen.at(half, self._timing(now + 0.5 * step))
        return torch.cat([x, rest], dim=1)

    @cached_property
    def _frozen(self) -> Velocity:
        """v with its weights in the format that it computes in, so that they are not converted at each use."""
        dtype = self.velocity.dtype
        return self.velocity if dtype == torch.float32 else copy.deepcopy(self.velocity).to(dtype)

    @cached_property
    def _timings(self) -> dict[float, Timing]:
        return {}

    def _timing(self, moment: float) -> Timing:
        if moment not in self._timings:
            when = self.velocity.enter.weight.new_full((1,), moment)
            with torch.no_grad():
                self._timings[moment] = self.velocity.timing(when)
        return self._timings[moment]


def matching_loss(velocity: Callable[[Latent, Moments], Latent], noise: Latent, code: Latent, moment: PerState) -> Tensor:
    """The mean over batch and dimensions of || v(x_t, t) - d x_t / dt ||^2."""
    angle = 0.5 * math.pi * moment[:, None]
    x = angle.cos() * noise + angle.sin() * code
    slope = 0.5 * math.pi * (angle.cos() * code - angle.sin() * noise)
    return (velocity(x, moment) - slope).square().mean()


def fit(
    whitening: Whitening,
    means: Latent,
    log_variances: Latent,
    config: FlowConfig,
    *,
    used: Callable[[int, float], float],
    seed: int,
    made_of: str,
    checkpoint: Path,
    checkpoint_every: float = 60.0,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> tuple[FlowPrior, dict[str, float]]:
    """Learns the flow, or goes on learning it.

    Args:
        whitening: fitted to the same codes.
        means, log_variances: what the encoder says of every training state (n, z); codes are drawn from there.
        config: settings.
        used: share of the budget that so many steps and seconds are.
        seed: of weights and draws.
        made_of: says what the codes are from; a checkpoint that says something else is not used.
        checkpoint: the file it is kept in meanwhile.
        checkpoint_every: seconds.
        dtype: number format of the products.
        progress: called with the share of the budget that is used, and a short text.

    Returns:
        The prior, and ``steps``, ``seconds`` and the last ``loss``.
    """
    device = means.device
    dimensions = max(1, int((whitening.signal > config.signal).sum()))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        velocity = Velocity(dimensions, config, dtype).to(device)
    optimizer = torch.optim.AdamW(velocity.parameters(), lr=config.learning_rate, weight_decay=1e-3, fused=True)
    average = copy.deepcopy(velocity).requires_grad_(False)
    centre, spread = whitening.to_noise(means)[:, :dimensions], torch.exp(0.5 * log_variances)
    inverse = whitening.inverse[:dimensions].T
    steps, seconds, loss = 0, 0.0, float("nan")
    stored = _stored(checkpoint, made_of)
    if stored:
        velocity.load_state_dict(stored["velocity"])
        average.load_state_dict(stored["average"])
        optimizer.load_state_dict(stored["optimizer"])
        generator.set_state(stored["generator"])
        steps, seconds, loss = stored["steps"], stored["seconds"], stored["loss"]

    def store() -> None:
        content = {
            "made_of": made_of, "velocity": velocity.state_dict(), "average": average.state_dict(),
            "optimizer": optimizer.state_dict(), "generator": generator.get_state(),
            "steps": steps, "seconds": seconds, "loss": loss,
        }  # fmt: skip
        write_atomic(checkpoint, lambda path: torch.save(content, path))

    kept = told = seconds
    size = min(config.batch_size, len(means))
    while (share := used(steps, seconds)) < 1.0:
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = warmed_cosine(config.learning_rate, share, steps, warm_up=50)
        chosen = torch.randint(len(means), (size,), generator=generator)
        around = torch.randn(size, means.shape[1], generator=generator).to(device)
        start = torch.randn(size, dimensions, generator=generator).to(device)
        moment = (torch.rand(1, generator=generator) + torch.arange(size) / size).remainder(1.0).to(device)
        real = centre[chosen] + (spread[chosen] * around) @ inverse
        found = matching_loss(velocity, start, real, moment)
        optimizer.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(velocity.parameters(), 1.0)
        optimizer.step()
        steps += 1
        decay = min(config.average, (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(decay)(list(average.parameters()), list(velocity.parameters()), steps)
        loss = found.item()
        seconds += time.perf_counter() - started
        if seconds - told >= 5.0:
            told = seconds
            progress(share, f"prior, step {steps:,}, loss {loss:.4f}")
        if seconds - kept >= checkpoint_every:
            kept = seconds
            store()
    store()
    prior = FlowPrior(whitening, average.eval(), config.integration)
    return prior, {"steps": steps, "seconds": round(seconds, 1), "loss": loss}


def _stored(checkpoint: Path, made_of: str) -> dict[str, Any] | None:
    if not checkpoint.exists():
        return None
    try:
        content = torch.load(checkpoint, weights_only=True)
    except Exception:  # torch raises many types for damaged files; learning the flow anew takes minutes
        return None
    return content if content.get("made_of") == made_of else None

"""The learned prior of the recipe ``fast``: a flow that carries N(0, I) to the distribution of the data's codes.

The encoder gives each frame of a state a code of its own.  In whitened space (:mod:`weakspot.state_model.whitening`) these
have mean 0 and covariance I, but they are no Gaussian, since a Gaussian cannot say that there is one ball, not two and not
none; and nothing says yet that the frames of a state follow each other.  The flow learns both.  It is a transformer whose
tokens are the frames, so that what holds for one frame is learned once for all of them.  It is trained by
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

from weakspot.errors import StateModelError
from weakspot.state_model.schedule import warmed_cosine
from weakspot.state_model.whitening import Whitening, fit_frames
from weakspot.system.compute import mixed
from weakspot.system.files import write_atomic
from weakspot.types import Latent, PerState

Moments: TypeAlias = Float[Tensor, " m"]

FREQUENCIES = 16
"""Frequencies in which the network is told the time."""


@dataclass(frozen=True)
class FlowConfig:
    """Settings of the flow."""

    width: int = 192
    depth: int = 6
    heads: int = 3
    integration: int = 4
    """Midpoint steps from noise to code, two evaluations of the network each."""
    learning_rate: float = 8e-3
    batch_size: int = 256
    average: float = 0.999
    """Decay of the running average of the weights, which is what is used in the end."""
    weight_decay: float = 0.1


class Block(nn.Module):
    """x + attention(n(x)), then x + W_2 relu(W_1 n(x)), with n a normalisation; both zero before training."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.tell = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        for layer in (self.tell, self.second):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.ask(self.before(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        told = F.scaled_dot_product_attention(queries, keys, values)
        x = x + self.tell(told.transpose(1, 2).flatten(2))
        return x + self.second(F.relu(self.first(self.after(x))))


class Velocity(nn.Module):
    """v(x, t): a transformer over the frames' codes; zero before training.

    Args:
        dimensions: of x, all frames together.
        frames: k.
        config: its size.
        dtype: number format of its products.
    """

    def __init__(self, dimensions: int, frames: int, config: FlowConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.frames, self.dtype = frames, dtype
        self.enter = nn.Linear(dimensions // frames, config.width)
        self.place = nn.Parameter(torch.zeros(frames, config.width))
        self.moment = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, config.width), nn.ReLU(), nn.Linear(config.width, config.width)
        )
        self.blocks = nn.Sequential(*(Block(config.width, config.heads) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, dimensions // frames)
        nn.init.normal_(self.place, std=0.5)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Latent, moment: Moments) -> Latent:
        """v at each x (b, z), at a moment of its own (b,) or at one for all (1,)."""
        return self.at(x, self.timing(moment))

    def timing(self, moment: Moments) -> Tensor:
        """All that the network makes of the time alone."""
        angles = moment[:, None, None] * math.pi * torch.arange(1, FREQUENCIES + 1, device=moment.device)
        with mixed(moment.device, self.dtype):
            return self.place + self.moment(torch.cat([angles.cos(), angles.sin()], dim=2))

    def at(self, x: Latent, timing: Tensor) -> Latent:
        """v at each x (b, z), at moments that were told by :meth:`timing`."""
        with mixed(x.device, self.dtype):
            hidden = self.blocks(self.enter(x.unflatten(1, (self.frames, -1))) + timing)
            return self.leave(self.norm(hidden)).float().flatten(1)


@dataclass(frozen=True)
class FlowPrior:
    """The codes of the data as a function of N(0, I), and back.

    Attributes:
        whitening: the Gaussian of the frames' codes.
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

    def _carried(self, x: Latent, start: float, end: float) -> Latent:
        step = (end - start) / self.integration
        for i in range(self.integration):
            now = start + i * step
            half = x + 0.5 * step * self._frozen.at(x, self._timing(now))
            x = x + step * self._frozen.at(half, self._timing(now + 0.5 * step))
        return x

    @cached_property
    def _frozen(self) -> Velocity:
        """v with the weights of its products in the format that they are computed in: not converted at each use."""
        if self.velocity.dtype == torch.float32:
            return self.velocity
        frozen = copy.deepcopy(self.velocity)
        for module in frozen.modules():
            if isinstance(module, nn.Linear):
                module.to(frozen.dtype)
        return frozen

    @cached_property
    def _timings(self) -> dict[float, Tensor]:
        return {}

    def _timing(self, moment: float) -> Tensor:
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


def optimizers_for(velocity: Velocity, config: FlowConfig) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices of the blocks, and AdamW for everything else.

    Muon's steps are scaled to the size of AdamW's, so that one learning rate serves both.  It orthogonalises in bfloat16,
    whatever the number format of the products.
    """
    matrices = [parameter for parameter in velocity.blocks.parameters() if parameter.ndim == 2]
    known = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in velocity.parameters() if id(parameter) not in known]
    return [
        torch.optim.Muon(matrices, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, weight_decay=config.weight_decay, fused=True),
    ]


def fit(
    means: Latent,
    log_variances: Latent,
    frames: int,
    config: FlowConfig,
    *,
    used: Callable[[int, float], float],
    seed: int,
    made_of: str,
    checkpoint: Path,
    checkpoint_every: float = 60.0,
    dtype: torch.dtype = torch.float32,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> tuple[FlowPrior, dict[str, float]]:
    """Learns the flow, or goes on learning it.

    Args:
        means, log_variances: what the encoder says of every training state (n, z); codes are drawn from there.
        frames: k, the frames in a state, whose codes follow each other in z.
        config: settings.
        used: share of the budget that so many steps and seconds are.
        seed: of weights and draws.
        made_of: says what the codes are from; a checkpoint that says something else is not used.
        checkpoint: the file it is kept in meanwhile.
        checkpoint_every: seconds.
        dtype: number format of the products.
        clock: tells the seconds.
        progress: called with the share of the budget that is used, and a short text.

    Returns:
        The prior, and ``steps``, ``seconds`` and the last ``loss``.
    """
    device = means.device
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        velocity = Velocity(means.shape[1], frames, config, dtype).to(device)
    optimizers = optimizers_for(velocity, config)
    average = copy.deepcopy(velocity).requires_grad_(False)
    whitening = fit_frames(means, log_variances, frames)
    spread = torch.exp(0.5 * log_variances)
    steps, seconds, loss = 0, 0.0, float("nan")
    stored = _stored(checkpoint, made_of)
    if stored:
        velocity.load_state_dict(stored["velocity"])
        average.load_state_dict(stored["average"])
        for optimizer, state in zip(optimizers, stored["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        generator.set_state(stored["generator"])
        steps, seconds, loss = stored["steps"], stored["seconds"], stored["loss"]

    def store() -> None:
        content = {
            "made_of": made_of, "velocity": velocity.state_dict(), "average": average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers], "generator": generator.get_state(),
            "steps": steps, "seconds": seconds, "loss": loss,
        }  # fmt: skip
        write_atomic(checkpoint, lambda path: torch.save(content, path))

    kept = told = seconds
    size = min(config.batch_size, len(means))
    while (share := used(steps, seconds)) < 1.0:
        started = clock()
        rate = warmed_cosine(config.learning_rate, share, steps, warm_up=50)
        chosen = torch.randint(len(means), (size,), generator=generator)
        around, start = torch.randn(2, size, means.shape[1], generator=generator).to(device)
        moment = (torch.rand(1, generator=generator) + torch.arange(size) / size).remainder(1.0).to(device)
        real = whitening.to_noise(means[chosen] + spread[chosen] * around)
        found = matching_loss(velocity, start, real, moment)
        velocity.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(velocity.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
        steps += 1
        decay = min(config.average, (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(decay)(list(average.parameters()), list(velocity.parameters()), steps)
        loss = found.item()
        if not math.isfinite(loss):
            raise StateModelError(
                f"the loss of the learned prior is no longer finite in step {steps:,}",
                expected="a finite loss",
                todo="use --train.precision float32, or another --train.seed",
            )
        seconds += clock() - started
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
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many types for damaged files; learning the flow anew takes minutes
        return None
    return content if content.get("made_of") == made_of else None

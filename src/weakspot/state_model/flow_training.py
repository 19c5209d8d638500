"""Trains the flow by flow matching (Lipman et al. 2023; Albergo and Vanden-Eijnden 2023).

x_t = cos(pi t / 2) x_0 + sin(pi t / 2) x_1,        x_0 ~ N(0, I),   x_1 a latent of the data,   t from 0 to 1,
minimise  E || v(x_t, t) - d x_t / dt ||^2,         d x_t / dt = pi / 2 (cos(pi t / 2) x_1 - sin(pi t / 2) x_0).

In the second half of the training the target is guided (autoguidance, Karras et al. 2024; as a training target, Tang et al.
2025): with w the guidance, a the running average of v, and v' that average early in the training,

    minimise  E || v(x_t, t) - d x_t / dt - w (a(x_t, t) - v'(x_t, t)) ||^2,

whose solution is v* + w / (1 - w) (v* - v'), with v* the solution without guidance.  Where the early flow differs from the
later one, it is worse; leading away from it makes samples more plausible, and costs nothing when the flow is used.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from weakspot.errors import LeftoverError, StateModelError
from weakspot.state_model.flow import FlowConfig, FlowPrior, Times, Velocity
from weakspot.state_model.muon import POLYNOMIALS, RMS, Polynomials, muon_and_adamw, step_all
from weakspot.state_model.schedule import warmed_cosine
from weakspot.state_model.whitening import Whitening, fit_frames
from weakspot.system.compute import seeded
from weakspot.system.files import raise_unless_damage
from weakspot.system.progress import ProgressCallback
from weakspot.system.training_loop import Budget, CheckpointFile, Every, TrainingLoop
from weakspot.types import Latent, PerState

WARM_UP = 50
"""Steps over which the learning rate rises."""
SMALLEST = 1e-4
"""Uniform numbers that times are made of are at least as far from 0 and 1 as this."""
MOMENTUM = 0.95
"""Of Muon."""
MAX_GRADIENT_NORM = 1.0
"""The norm that gradients are clipped to."""
REPORT_EVERY = 5.0
"""Seconds of training between two reports of the progress."""


def path(noise: Latent, latent: Latent, t: PerState) -> tuple[Latent, Latent]:
    """x_t and d x_t / dt (b, z).

    Args:
        noise: x_0 (b, z).
        latent: x_1 (b, z), whitened.
        t: (b,), from 0 to 1.
    """
    angle = 0.5 * math.pi * t[:, None]
    x = angle.cos() * noise + angle.sin() * latent
    return x, 0.5 * math.pi * (angle.cos() * latent - angle.sin() * noise)


def matching_loss(velocity: Callable[[Latent, Times], Latent], noise: Latent, latent: Latent, t: PerState) -> Tensor:
    """The mean over batch and dimensions of || v(x_t, t) - d x_t / dt ||^2, without guidance; see :func:`path`."""
    x, target = path(noise, latent, t)
    return (velocity(x, t) - target).square().mean()


def times(even: PerState, spread: float) -> PerState:
    """Times whose logits are normal with mean 0 and standard deviation ``spread``, from uniform numbers in [0, 1).

    In the middle of the path the flow has most to learn (Esser et al. 2024).  With a ``spread`` of 0, times are uniform.
    """
    if not spread:
        return even
    normal = math.sqrt(2.0) * torch.erfinv(2.0 * even.double().clamp(SMALLEST, 1.0 - SMALLEST) - 1.0)
    return torch.sigmoid(spread * normal).float()


@dataclass(frozen=True)
class Posteriors:
    """The encoder's distribution over the latent of every training state: N(mean, diag(spread^2)).

    Attributes:
        means: (n, z).
        spreads: standard deviations (n, z).
        whitening: the Gaussian of the single frames' latents.
    """

    means: Latent
    spreads: Latent
    whitening: Whitening

    def sample(self, chosen: Tensor, noise: Latent) -> Latent:
        """Whitened latents (b, z) of the states ``chosen`` (b,), drawn with standard normal ``noise`` (b, z)."""
        return self.whitening.to_noise(self.means[chosen] + self.spreads[chosen] * noise)


class FlowTrainer:
    """The flow and everything that its next training step depends on; a :class:`weakspot.system.training_loop.Trainable`.

    Args:
        posteriors: of the training states.
        frames: k, the frames of a state.
        config: settings.
        seed: of the weights and of all draws.
        dtype: number format of the matrix products.
        polynomials: of the optimiser (:mod:`weakspot.state_model.muon`).

    Attributes:
        velocity: the flow with the weights that are trained.
        average: the running average of the weights.
        weak: the average early in the training, from which the flow is led away; None before that.
        loss: of the last step; NaN before the first one.
    """

    def __init__(
        self,
        posteriors: Posteriors,
        frames: int,
        config: FlowConfig,
        seed: int,
        dtype: torch.dtype,
        polynomials: Polynomials = POLYNOMIALS,
    ) -> None:
        self._posteriors, self._config = posteriors, config
        self._generator = torch.Generator().manual_seed(seed)
        dimensions = posteriors.means.shape[1]
        with seeded(seed):
            self.velocity = Velocity(dimensions, frames, config, dtype).to(posteriors.means.device)
        matrices = [parameter for parameter in self.velocity.blocks.parameters() if parameter.ndim == 2]
        self._optimizers = muon_and_adamw(
            self.velocity, matrices, dtype, rms=RMS, momentum=MOMENTUM, weight_decay=config.weight_decay,
            polynomials=polynomials,
        )  # fmt: skip
        self.average = copy.deepcopy(self.velocity).requires_grad_(False)
        self.weak: Velocity | None = None
        self.loss = float("nan")

    def step(self, share: float, steps: int) -> None:
        """One step of the optimisers on a batch of latents.

        Raises:
            StateModelError: the loss is not finite.
        """
        rate = warmed_cosine(self._config.learning_rate, share, steps, warm_up=WARM_UP)
        loss = self._loss(share)
        self.velocity.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.velocity.parameters(), MAX_GRADIENT_NORM)
        step_all(self._optimizers, rate)
        self._update_average(steps + 1)
        self.loss = loss.item()
        if not math.isfinite(self.loss):
            raise StateModelError(
                f"the loss of the learned prior is no longer finite in step {steps + 1:,}",
                expected="a finite loss",
                todo="use --train.precision float32, or another --train.seed",
            )

    def state_dict(self) -> dict[str, Any]:
        """Weights, their average, optimisers and the random generator."""
        return {
            "velocity": self.velocity.state_dict(),
            "average": self.average.state_dict(),
            "weak": None if self.weak is None else self.weak.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "generator": self._generator.get_state(),
            "loss": self.loss,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores :meth:`state_dict`."""
        self.velocity.load_state_dict(state["velocity"])
        self.average.load_state_dict(state["average"])
        if state["weak"] is not None:
            self.weak = copy.deepcopy(self.average)
            self.weak.load_state_dict(state["weak"])
        for optimizer, content in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(content)
        self._generator.set_state(state["generator"])
        self.loss = state["loss"]

    def batch(self) -> tuple[Latent, Latent, PerState]:
        """Noise x_0, whitened latents x_1 and times t in [0, 1), as evenly spaced as their distribution allows."""
        generator, means = self._generator, self._posteriors.means
        size = min(self._config.batch_size, len(means))
        chosen = torch.randint(len(means), (size,), generator=generator)
        encoder_noise, noise = torch.randn(2, size, means.shape[1], generator=generator).to(means.device)
        even = (torch.rand(1, generator=generator) + torch.arange(size) / size).remainder(1.0)
        t = times(even, self._config.time_spread).to(means.device)
        return noise, self._posteriors.sample(chosen, encoder_noise), t

    def _loss(self, share: float) -> Tensor:
        """The loss on a batch, with guidance from ``guided_from`` on."""
        config = self._config
        if config.guidance and share >= config.weak_at and self.weak is None:
            self.weak = copy.deepcopy(self.average)
        noise, latent, t = self.batch()
        x, target = path(noise, latent, t)
        if self.weak is not None and share >= config.guided_from:
            with torch.no_grad():
                target = target + config.guidance * (self.average(x, t) - self.weak(x, t))
        return (self.velocity(x, t) - target).square().mean()

    def _update_average(self, steps: int) -> None:
        """Updates the running average of the weights; its decay is smaller in the first steps."""
        decay = min(self._config.average, (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(decay)(list(self.average.parameters()), list(self.velocity.parameters()), steps)


def fit(
    means: Latent,
    log_variances: Latent,
    frames: int,
    config: FlowConfig,
    *,
    budget: Budget,
    seed: int,
    made_of: str,
    checkpoint: Path,
    checkpoint_every: float = 60.0,
    dtype: torch.dtype = torch.float32,
    clock: Callable[[], float] = time.perf_counter,
    progress: ProgressCallback = lambda share, text: None,
) -> tuple[FlowPrior, dict[str, float]]:
    """Trains the flow, or resumes its training.

    Args:
        means, log_variances: of the encoder for every training state (n, z); latents are drawn from these distributions.
        frames: k, the frames of a state, whose latents are concatenated in z.
        config: settings.
        budget: see :data:`weakspot.system.training_loop.Budget`.
        seed: of the weights and of all draws.
        made_of: digest of everything the latents depend on; a checkpoint with another digest is ignored.
        checkpoint: the file that the training resumes from.
        checkpoint_every: seconds between two checkpoints.
        dtype: number format of the matrix products.
        clock: returns the current time in seconds.
        progress: called with the share of the budget that is used, and a short text.

    Returns:
        The prior, and ``steps``, ``seconds`` and the last ``loss``.

    Raises:
        StateModelError: the loss is not finite.
        StorageError: the checkpoint cannot be written.
    """
    whitening = fit_frames(means, log_variances, frames)
    trainer = FlowTrainer(Posteriors(means, torch.exp(0.5 * log_variances), whitening), frames, config, seed, dtype)
    loop = TrainingLoop(trainer, CheckpointFile(checkpoint, made_of), budget, clock)
    if (content := _read(loop.checkpoint)) is not None:
        try:
            loop.load_state_dict(content)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise LeftoverError(f"{checkpoint} is not a checkpoint of this flow: {error}") from error

    def report() -> None:
        progress(loop.share, f"prior, step {loop.steps:,}, loss {trainer.loss:.4f}")

    loop.run([Every(REPORT_EVERY, report), Every(checkpoint_every, loop.store)])
    prior = FlowPrior(whitening, trainer.average.eval(), config.integration)
    return prior, {"steps": loop.steps, "seconds": round(loop.seconds, 1), "loss": trainer.loss}


def _read(checkpoint: CheckpointFile) -> dict[str, Any] | None:
    """The content of the checkpoint; also None if it is damaged, because training the flow again takes only minutes."""
    try:
        return checkpoint.read()
    except Exception as error:  # torch raises many types for damaged files
        raise_unless_damage(checkpoint.path, error)
        return None

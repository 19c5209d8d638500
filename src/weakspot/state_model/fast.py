"""The recipe ``fast``, the default: what a machine without a GPU can train in minutes.

    L(s) = sum_i W_i (g(z)_i - s_i)^2 / (2 (v_i + tau))  +  eta sum_j (A(s)_j - A(g(z))_j)^2 / Var(A_j)
           + lambda KL(f(s), N(0, I)),                     W = 1 - rho + rho * saliency (mean 1)

with v_i the variance of pixel i over the data.  Then a flow is learned that carries N(0, I) to the distribution of the
data's codes (:mod:`weakspot.state_model.flow`), and everything downstream works in the flow's N(0, I) space.

Departures from the paper, each for a measured reason:

1. Each pixel's error is divided by how much that pixel varies.  A static background costs nothing, and a ball that
   visits a pixel once in a thousand frames weighs as much as it should; the KL is then in nats, with a weight near 1.
2. The agent's saliency multiplies that instead of standing alone, so that nothing is ignored altogether.
3. The perception term is in units of the answers' own variance, so that one weight serves Q-values and logits.
4. The code is spatial (8 maps of a sixteenth of the frame's side), since a convolution can copy a small object's place
   into a map but has to learn a table to put it into one vector.
5. The network works at a quarter of the resolution and below: frames go in as 4x4 patches and come out as 4x4 patches,
   where most of the time would otherwise go.  Residual blocks with group normalisation, so that a batch can be split.
6. The output is a correction of the median frame and starts at zero: the network only learns what moves.
7. AdamW with a cosine to zero over the whole budget, and bfloat16 where the machine has units for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.saliency import decode_maps
from weakspot.state_model import losses
from weakspot.state_model.batch import Batch, DataStatistics
from weakspot.state_model.flow import FlowConfig
from weakspot.state_model.schedule import warmed_cosine
from weakspot.types import Latent, State

PATCH = 4
"""Side of the patches in which frames enter and leave the network."""


@dataclass(frozen=True)
class FastConfig:
    """Settings of the recipe ``fast``."""

    maps: int = 8
    """Maps of the spatial code; each has a sixteenth of the frame's height and width."""
    width: int = 32
    """Filters at a quarter of the resolution; doubled at an eighth and again at a sixteenth."""
    saliency_share: float = 0.8
    """rho, the share of the weight that follows the agent's saliency."""
    variance_floor: float = 1e-3
    """tau."""
    perception: float = 30.0
    """eta."""
    prior: float = 0.3
    """lambda."""
    learning_rate: float = 2e-3
    batch_size: int = 32
    clip: float = 1_000.0
    """Largest norm of a gradient."""


GROUPS = 1
"""Groups of the group normalisation; with one, the CPU kernels are several times faster than with more."""


def convolution(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, group normalisation, SiLU."""
    padding = 0 if kernel == stride else kernel // 2
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, padding, bias=False), nn.GroupNorm(GROUPS, after), nn.SiLU()
    )


class Residual(nn.Module):
    """x + norm(conv(silu(norm(conv(x)))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(width, width), nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def channels_last(image: Tensor) -> Tensor:
    """The same image (c, h, w), its channels last in memory, as those of the states are."""
    return image.permute(1, 2, 0).contiguous().permute(2, 0, 1)


class _Unpatch(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, patches: Tensor, background: Tensor) -> Tensor:
        context.dtype = patches.dtype
        n, channels, rows, columns = patches.shape
        blocks = patches.permute(0, 2, 3, 1).reshape(n, rows, columns, PATCH, PATCH, -1)
        frames = torch.empty(n, rows, PATCH, columns, PATCH, channels // PATCH**2, device=patches.device)
        frames.copy_(blocks.transpose(2, 3))  # rearranges and widens in one go
        return frames.reshape(n, rows * PATCH, columns * PATCH, -1).permute(0, 3, 1, 2).add_(background)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, slope: Tensor) -> tuple[Tensor, None]:
        n, channels, height, width = slope.shape
        rows, columns = height // PATCH, width // PATCH
        frames = slope.permute(0, 2, 3, 1).reshape(n, rows, PATCH, columns, PATCH, channels)
        blocks = torch.empty(n, rows, columns, PATCH, PATCH, channels, dtype=context.dtype, device=slope.device)
        blocks.copy_(frames.transpose(2, 3))
        return blocks.reshape(n, rows, columns, -1).permute(0, 3, 1, 2), None


def unpatch(patches: Tensor, background: Tensor) -> Tensor:
    """Frames (b, c, 4h, 4w) float32: ``background`` (c, 4h, 4w), which is no variable, plus patches (b, 16c, h, w), whose
    channels are ordered as (4, 4, c).

    ``pixel_shuffle`` with the channels last in memory on both sides, where it is one copy of whole runs of pixels.
    """
    return _Unpatch.apply(patches, background)


class FastNetwork(nn.Module):
    """Encoder f and decoder g of the recipe ``fast``."""

    median: Tensor

    def __init__(
        self, median: Tensor, frames: int, maps: int = 8, width: int = 32, precision: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.precision = precision
        self.register_buffer("median", channels_last(median.repeat(frames, 1, 1)))
        channels, self.height, self.width = self.median.shape
        quarter = (math.ceil(self.height / PATCH), math.ceil(self.width / PATCH))
        eighth = (math.ceil(quarter[0] / 2), math.ceil(quarter[1] / 2))
        self.code = (maps, math.ceil(eighth[0] / 2), math.ceil(eighth[1] / 2))
        self.padding = (0, quarter[1] * PATCH - self.width, 0, quarter[0] * PATCH - self.height)
        self.encoder = nn.Sequential(
            convolution(channels, width, PATCH, PATCH),
            Residual(width),
            convolution(width, 2 * width, stride=2),
            Residual(2 * width),
            convolution(2 * width, 4 * width, stride=2),
            Residual(4 * width),
            nn.Conv2d(4 * width, 2 * maps, 1),
        )
        self.decoder = nn.Sequential(
            convolution(maps, 4 * width),
            Residual(4 * width),
            nn.Upsample(eighth),
            convolution(4 * width, 2 * width),
            Residual(2 * width),
            nn.Upsample(quarter),
            convolution(2 * width, width),
            Residual(width),
            convolution(width, 2 * width),
            nn.Conv2d(2 * width, channels * PATCH**2, 1),
        )
        last = self.decoder[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def latent(self) -> int:
        return math.prod(self.code)

    def encode(self, state: State) -> tuple[Latent, Latent]:
        """f(s): means and log-variances (b, z)."""
        moved = torch.add(-4.0 * self.median, state, alpha=4.0)
        if any(self.padding):
            moved = F.pad(moved, self.padding)
        with self._mixed(state.device):
            code = self.encoder(moved.contiguous(memory_format=torch.channels_last))
        mean, log_variance = code.float().chunk(2, dim=1)
        return mean.flatten(1), (log_variance.flatten(1) - 2.0).clamp(-8, 4)

    def decode(self, latent: Latent) -> State:
        """g(z): states, in [0, 1] up to the network's error (clamp them before showing them to anyone)."""
        maps = latent.unflatten(1, self.code).contiguous(memory_format=torch.channels_last)
        with self._mixed(latent.device):
            patches = self.decoder(maps)
        background = F.pad(self.median, self.padding) if any(self.padding) else self.median
        return unpatch(patches, background)[:, :, : self.height, : self.width]

    def _mixed(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16)


FLOW = FlowConfig()
"""Settings of the learned prior."""


class FastRecipe:
    """The recipe of this file."""

    splits_batches = True
    whitens = True
    equation = "L = sum_i W_i (g(z)_i - s_i)^2 / 2(v_i + tau) + eta sum_j (A(s)_j - A(g(z))_j)^2 / Var(A_j) + lambda KL"

    def __init__(self, config: FastConfig, flow: FlowConfig | None = FLOW) -> None:
        self.config, self.flow = config, flow

    def changed(self, **settings: Any) -> FastRecipe:
        """The same recipe with other settings."""
        return FastRecipe(replace(self.config, **settings), self.flow)

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> FastNetwork:
        return FastNetwork(statistics.median, statistics.frames, self.config.maps, self.config.width, precision)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(network.parameters(), lr=self.config.learning_rate, weight_decay=1e-3, fused=True)

    def learning_rate(self, progress: float, step: int) -> float:
        """Warm-up over 100 steps, then a cosine to zero at the end of the budget."""
        return warmed_cosine(self.config.learning_rate, progress, step, warm_up=100)

    def loss(
        self, network: FastNetwork, batch: Batch, perceive: Perceiver, statistics: DataStatistics
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L of this file, averaged over the batch, and its terms."""
        config = self.config
        mean, log_variance = network.encode(batch.state)
        reconstructed = network.decode(mean + torch.exp(0.5 * log_variance) * batch.noise)
        height, width = batch.state.shape[2:]
        attention = F.interpolate(decode_maps(batch.saliency), size=(height, width), mode="nearest")
        attention = (1.0 - config.saliency_share) + config.saliency_share * attention
        precision = channels_last(0.5 / (statistics.variance.repeat(statistics.frames, 1, 1) + config.variance_floor))
        answered = perceive(reconstructed).vector()
        terms = {
            "reconstruction": losses.reconstruction(batch.state, reconstructed, precision, attention).mean(),
            "perception": losses.perception(batch.answer, answered, statistics.answer_variance).mean(),
            "prior": losses.prior(mean, log_variance).mean(),
        }
        total = terms["reconstruction"] + config.perception * terms["perception"] + config.prior * terms["prior"]
        return total, terms

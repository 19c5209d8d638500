"""The recipe ``fast``, the default: it trains in minutes without a GPU.

    L(s) = sum_i C_i W_i (g(z)_i - s_i)^2 / (2 tau)  +  eta sum_j (A(s)_j - A(g(z))_j)^2 / Var(A_j)
           + lambda KL(f(s), N(0, I)),          W = (1 - rho - phi) + rho * saliency + phi * [ |s - m| > delta ] / share

with tau the variance of a pixel's error, m the median frame, and *share* the share of the state that differs from m by more
than delta, but at least 5 %, so that the weights of this part are at most 20 phi; C is 1, or, if the channels are not
colours, the mean of the channels' variances divided by that of the pixel's channel.  Afterwards a flow from N(0, I) to the
distribution of the data's latents is trained (:mod:`weakspot.state_model.flow`), and everything downstream works in the
flow's N(0, I) space.

Deviations from the paper (measurements in docs/decisions/, the effect of each in docs/results/state_model.md):

1. Each frame of a state is encoded and decoded by itself, by the same network, to a short latent of its own.  A single frame
   has few moving objects, and a batch has k times as many frames as states; the flow learns how the frames of a state depend
   on each other.  Small objects are reconstructed many times sooner.
2. The squared error is a Gaussian likelihood with the same variance for every pixel, so the KL is in nats and has weight 1.
3. The agent's saliency is a part of the weights instead of all of them, so that no pixel is ignored; another part goes to
   pixels that differ from the median frame, which are those of moving objects.  Without it, small, faint and thin objects
   are learned late: the ball of Pong, the enemies, divers and shots of Seaquest.  Channels that are not colours, such as
   semantic classes, are weighted by the inverse of their variance: people are a thousandth of the pixels of a town, and are
   not reconstructed otherwise.
4. The perception term is in units of the outputs' variance, so that one weight serves Q-values and logits.
5. The network works at a quarter of the resolution and below: it reads and writes frames as 4x4 patches, since full
   resolution would take most of the time.  Residual blocks have group normalisation, so that a batch can be split.
6. The network predicts a residual of the median frame, which is zero at initialisation: it only has to learn what moves.
7. Muon (:mod:`weakspot.state_model.muon`) for all weights between the first and the last layer, AdamW for the others, with a
   cosine schedule to a hundredth over the whole budget, and bfloat16 if the hardware supports it.
8. Settings: 32 latent dimensions for each frame, so 128 instead of 100; a warm-up of 100 steps; clipped gradients; the
   encoder's input is 4 (s - m), and its log-variances start at -2 and stay within -8 and 4; one saliency map, at half the
   resolution, for all frames of a state; A(s) includes the critic's value if there is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.errors import ConfigError
from weakspot.saliency.weights import decode_maps
from weakspot.state_model import losses
from weakspot.state_model.batch import Batch, DataStatistics, channels_last
from weakspot.state_model.flow import FlowConfig
from weakspot.state_model.muon import muon_and_adamw
from weakspot.state_model.schedule import warmed_cosine
from weakspot.system.checks import check_not_negative, check_positive
from weakspot.system.compute import mixed
from weakspot.types import Latent, State

PATCH = 4
"""Side of the patches that the network reads and writes, in pixels."""


@dataclass(frozen=True)
class FastConfig:
    """Settings of the recipe ``fast``."""

    code: int = 32
    """Latent dimensions of a frame."""
    width: int = 16
    """Filters at a quarter of the resolution; doubled at an eighth and again at a sixteenth."""
    saliency_share: float = 0.5
    """rho, the share of the weight that follows the agent's saliency."""
    moving_share: float = 0.3
    """phi, the share of the weight that goes to what differs from the median frame."""
    differs: float = 0.06
    """delta, in units of a colour's range."""
    least_share: float = 0.05
    """Lower bound of the share of the state that differs from the median frame."""
    pixel_variance: float = 1e-3
    """tau."""
    perception: float = 30.0
    """eta."""
    prior: float = 1.0
    """lambda."""
    learning_rate: float = 2e-3
    matrix_step: float = 2.4
    """Root mean square of a step of Muon at a learning rate of 1; that of AdamW's steps is .2."""
    momentum: float = 0.9
    """Of Muon."""
    weight_decay: float = 1.0
    """Of both optimisers."""
    batch_size: int = 16
    clip: float = 1_000.0
    """Largest norm of a gradient."""

    def __post_init__(self) -> None:
        shares = (self.saliency_share, self.moving_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise ConfigError(f"shares of the weight of {shares}", expected="no share below 0, and a sum of at most 1")
        check_positive(self, "code", "width", "least_share", "pixel_variance", "learning_rate", "matrix_step",
                       "batch_size", "clip")  # fmt: skip
        check_not_negative(self, "differs", "perception", "prior", "weight_decay")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"a momentum of {self.momentum}", expected="a number from 0 to below 1")


GROUPS = 1
"""Groups of the group normalisation; with one, the CPU kernels are several times faster than with more."""


def convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, group normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.GroupNorm(GROUPS, after), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """x + norm(conv(relu(norm(conv(x)))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(width, width), nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class _Unpatch(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, patches: Tensor, background: Tensor) -> Tensor:
        context.dtype = patches.dtype
        n, channels, rows, columns = patches.shape
        blocks = patches.permute(0, 2, 3, 1).reshape(n, rows, columns, PATCH, PATCH, -1)
        frames = torch.empty(n, rows, PATCH, columns, PATCH, channels // PATCH**2, device=patches.device)
        frames.copy_(blocks.transpose(2, 3))  # rearranges and converts to float32 in one pass
        return frames.reshape(n, rows * PATCH, columns * PATCH, -1).permute(0, 3, 1, 2).add_(background)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator's stub drops parameter names
        context: Any, grad_output: Tensor
    ) -> tuple[Tensor, None]:
        n, channels, height, width = grad_output.shape
        rows, columns = height // PATCH, width // PATCH
        frames = grad_output.permute(0, 2, 3, 1).reshape(n, rows, PATCH, columns, PATCH, channels)
        blocks = torch.empty(n, rows, columns, PATCH, PATCH, channels, dtype=context.dtype, device=grad_output.device)
        blocks.copy_(frames.transpose(2, 3))
        return blocks.reshape(n, rows, columns, -1).permute(0, 3, 1, 2), None


def unpatch(patches: Tensor, background: Tensor) -> Tensor:
    """Frames (b, c, 4h, 4w) float32: ``background`` (c, 4h, 4w), which gets no gradient, plus patches (b, 16c, h, w), whose
    channels are ordered as (4, 4, c).

    It is ``pixel_shuffle`` for tensors whose channels are last in memory, where it is one copy of contiguous runs of pixels.
    """
    return cast(Any, _Unpatch).apply(patches, background)


def block_diagonal(weight: Tensor, frames: int) -> Tensor:
    """The weights (k o, k i, a, b) of a convolution that treats each of ``frames`` k frames as ``weight`` (o, i, a, b) does.

    One dense convolution with zeros in its weights is faster than k small ones.
    """
    outputs, inputs, *kernel = weight.shape
    frame = torch.eye(frames, dtype=weight.dtype, device=weight.device)
    return torch.einsum("kl,oiab->koliab", frame, weight).reshape(frames * outputs, frames * inputs, *kernel)


def split_frames(maps: Tensor, frames: int) -> Tensor:
    """Feature maps of single frames (b k, c, h, w), from those of states (b, k c, h, w)."""
    n, channels, height, width = maps.shape
    split = maps.permute(0, 2, 3, 1).reshape(n, height, width, frames, channels // frames)
    return split.permute(0, 3, 1, 2, 4).reshape(n * frames, height, width, -1).permute(0, 3, 1, 2)


def merge_frames(maps: Tensor, frames: int) -> Tensor:
    """The inverse of :func:`split_frames`."""
    n, channels, height, width = maps.shape
    split = maps.permute(0, 2, 3, 1).reshape(n // frames, frames, height, width, channels)
    return split.permute(0, 2, 3, 1, 4).reshape(n // frames, height, width, -1).permute(0, 3, 1, 2)


class PatchEmbed(nn.Conv2d):
    """Linear embedding of each frame's 4x4 patches: (b, k c, 4h, 4w) to (b k, width, h, w)."""

    def __init__(self, colours: int, width: int, frames: int) -> None:
        super().__init__(colours, width, PATCH, PATCH, bias=False)  # pyright: ignore[reportUnknownMemberType]  # torch's stub
        self.frames = frames

    def forward(self, input: Tensor) -> Tensor:
        return split_frames(F.conv2d(input, block_diagonal(self.weight, self.frames), stride=PATCH), self.frames)


class PatchOutput(nn.Conv2d):
    """Linear map to each frame's 4x4 patches, zero at initialisation: (b k, width, h, w) to (b, 16 k c, h, w), whose
    channels are ordered as (4, 4, k, c)."""

    def __init__(self, width: int, colours: int, frames: int) -> None:
        super().__init__(width, PATCH**2 * colours, 1)  # pyright: ignore[reportUnknownMemberType]  # torch's stub
        self.frames = frames
        assert self.bias is not None
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        assert self.bias is not None
        weight, bias = block_diagonal(self.weight, self.frames), self.bias.repeat(self.frames)
        return F.conv2d(merge_frames(input, self.frames), self._pixels_first(weight), self._pixels_first(bias))

    def _pixels_first(self, outputs: Tensor) -> Tensor:
        """Rows ordered as (4, 4, k, c), from rows ordered as (k, 4, 4, c)."""
        blocks = cast(Tensor, outputs.unflatten(0, (self.frames, PATCH**2, -1)))
        return blocks.transpose(0, 1).flatten(0, 2)


class FastNetwork(nn.Module):
    """Encoder f and decoder g of the recipe ``fast``: the same for each of the k frames of a state."""

    median: Tensor

    def __init__(self, median: Tensor, frames: int, code: int, width: int, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.precision, self.frames, self.code = precision, frames, code
        self.register_buffer("median", channels_last(median.repeat(frames, 1, 1)))
        colours, self.height, self.width = median.shape
        quarter = (math.ceil(self.height / PATCH), math.ceil(self.width / PATCH))
        eighth = (math.ceil(quarter[0] / 2), math.ceil(quarter[1] / 2))
        coarse = (4 * width, math.ceil(eighth[0] / 2), math.ceil(eighth[1] / 2))
        self.padding = (0, quarter[1] * PATCH - self.width, 0, quarter[0] * PATCH - self.height)
        self.encoder = nn.Sequential(
            PatchEmbed(colours, width, frames),
            nn.GroupNorm(GROUPS, width),
            nn.ReLU(inplace=True),
            Residual(width),
            convolution(width, 2 * width, stride=2),
            Residual(2 * width),
            convolution(2 * width, 4 * width, stride=2),
            Residual(4 * width),
            nn.Flatten(),
            nn.Linear(math.prod(coarse), 2 * code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, math.prod(coarse)),
            nn.Unflatten(1, coarse),
            Residual(4 * width),
            nn.Upsample(eighth),
            convolution(4 * width, 2 * width),
            Residual(2 * width),
            nn.Upsample(quarter),
            convolution(2 * width, width),
            Residual(width),
            convolution(width, 2 * width),
            PatchOutput(2 * width, colours, frames),
        )
        cast(Any, self).to(memory_format=torch.channels_last)

    @property
    def latent(self) -> int:
        return self.frames * self.code

    def inner_weights(self) -> list[Tensor]:
        """The weights of all convolutions and linear maps between the first and the last layer."""
        outer = {id(parameter) for layer in (self.encoder[0], self.decoder[-1]) for parameter in layer.parameters()}
        return [weight for weight in self.parameters() if weight.ndim > 1 and id(weight) not in outer]

    def encode(self, state: State) -> tuple[Latent, Latent]:
        """f(s): means and log-variances (b, z), frame after frame."""
        scaled = torch.add(-4.0 * self.median, state, alpha=4.0)
        if any(self.padding):
            scaled = F.pad(scaled, self.padding)
        with mixed(state.device, self.precision):
            encoded = self.encoder(scaled.contiguous(memory_format=torch.channels_last))
        mean, log_variance = encoded.float().chunk(2, dim=1)
        shape = (len(state), self.latent)
        return mean.reshape(shape), (log_variance.reshape(shape) - 2.0).clamp(-8, 4)

    def decode(self, latent: Latent) -> State:
        """g(z): states, in [0, 1] up to the network's error; clamp them for display."""
        with mixed(latent.device, self.precision):
            patches = self.decoder(latent.reshape(-1, self.code))
        background = F.pad(self.median, self.padding) if any(self.padding) else self.median
        return unpatch(patches, background)[:, :, : self.height, : self.width]


FLOW = FlowConfig()
"""Settings of the learned prior."""


class FastRecipe:
    """See the module's docstring."""

    splits_batches = True
    whitens = True
    largest: int | None = None
    equation = "L = sum_i C_i W_i (g(z)_i - s_i)^2 / 2 tau + eta sum_j (A(s)_j - A(g(z))_j)^2 / Var(A_j) + lambda KL"

    def __init__(self, config: FastConfig, flow: FlowConfig | None = FLOW) -> None:
        self.config, self.flow = config, flow
        self.clip: float | None = config.clip

    def changed(self, **settings: Any) -> FastRecipe:
        """The same recipe with other values of these settings."""
        return type(self)(replace(self.config, **settings), self.flow)

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> FastNetwork:
        return FastNetwork(statistics.median, statistics.frames, self.config.code, self.config.width, precision)

    def optimizers(self, network: FastNetwork) -> list[torch.optim.Optimizer]:
        """Muon for the weights between the first and the last layer, and AdamW for all other parameters."""
        config = self.config
        return muon_and_adamw(
            network, network.inner_weights(), network.precision, rms=config.matrix_step, momentum=config.momentum,
            weight_decay=config.weight_decay,
        )  # fmt: skip

    def learning_rate(self, progress: float, step: int) -> float:
        """A warm-up over 100 steps, and a cosine to a hundredth at the end of the budget."""
        return warmed_cosine(self.config.learning_rate, progress, step, warm_up=100)

    def loss(
        self, network: FastNetwork, batch: Batch, perceive: Perceiver, statistics: DataStatistics
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L, averaged over the batch, and its terms."""
        config = self.config
        mean, log_variance = network.encode(batch.state)
        reconstructed = network.decode(mean + torch.exp(0.5 * log_variance) * batch.noise)
        weights = self.weights(batch, statistics).mul_(0.5 / config.pixel_variance)
        outputs = perceive(reconstructed).vector()
        terms = {
            "reconstruction": losses.reconstruction(batch.state, reconstructed, weights).mean(),
            "perception": losses.perception(batch.output, outputs, statistics.output_variance).mean(),
            "prior": losses.prior(mean, log_variance).mean(),
        }
        total = terms["reconstruction"] + config.perception * terms["perception"] + config.prior * terms["prior"]
        return total, terms

    @torch.no_grad()
    def weights(self, batch: Batch, statistics: DataStatistics) -> Tensor:
        """C W (b, kc, h, w); W is 1 on average, or less where little differs from the median frame."""
        config = self.config
        attention = F.interpolate(decode_maps(batch.saliency), size=batch.state.shape[2:], mode="nearest")
        attention = (1.0 - config.saliency_share - config.moving_share) + config.saliency_share * attention
        moving = ((batch.state - statistics.background).abs_() > config.differs).to(attention.dtype)
        share = moving.mean(dim=(1, 2, 3), keepdim=True).clamp_min(config.least_share)
        weights = moving.mul_(config.moving_share / share).add_(attention)
        if statistics.channel_weights is None:
            return weights
        return weights.mul_(statistics.channel_weights.repeat(statistics.frames)[:, None, None])


FAST = FastRecipe(FastConfig())
FAST_GAUSSIAN = FastRecipe(FastConfig(), flow=None)

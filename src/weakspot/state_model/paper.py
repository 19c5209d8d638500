"""The recipe ``paper``: the state model of section 4.1, and its two ablations (section 4.5).

    L(s) = L_p(s) + eta L_a(s) + lambda KL(f(s), N(0, I)),        eta = 1e-3, lambda = 1e-4               (eq. 1)
    L_p(s) = c sum_i (g(z)_i - s_i)^2 |grad pi(s)_i| / sum_j |grad pi(s)_j|                               (eq. 2)
    L_a(s) = ||A(s) - A(g(z))||^2                                                                         (eq. 3)

**The scale c of the squared error is a free choice, and it decides what is learned.** States are numbers from 0 to 1 here;
c = 65,025 = 255^2 is the loss of pixels from 0 to 255.  The paper does not say which it uses.  With c = 1, L_p is about
1e-3, and the KL, even at 1e-4 of its value, outweighs it: the posterior collapses to the prior, and every state is decoded
to the same frame.  docs/decisions/025-scale-of-the-papers-loss.md compares scales.  The same holds for the plain VAE, whose
weights are uniform: the paper's text sums over pixels (weights of 1, ``reduction="sum"``); ``"mean"`` takes weights that sum
to 1, as those of L_p do.

Four encoder stages of 3x3 convolution with stride 2, batch normalisation and ReLU, 32 filters doubling; linear layers to
100 means and log-variances; the decoder is the mirror image with deconvolutions, halving the filters, its 128x128 output
cropped to the centre.  Adam with learning rate 1e-3, batch size 16.

The paper does not specify the following; our choices: the input is not padded (84 -> 42 -> 21 -> 11 -> 6); deconvolutions
are 4x4, which doubles the size exactly in each stage; the last stage has no batch normalisation and ends in a sigmoid; and
the saliency, one map per gray frame, weights the three colours of a pixel equally.  It is smoothed by a 5x5 box filter
(section 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.errors import ConfigError
from weakspot.saliency.rules import saliency
from weakspot.saliency.weights import loss_weights
from weakspot.state_model import losses
from weakspot.state_model.batch import Batch, DataStatistics
from weakspot.state_model.flow import FlowConfig
from weakspot.state_model.frame_limit import too_large
from weakspot.system.checks import check_not_negative, check_positive
from weakspot.types import Latent, State

CANVAS = 128
"""Side of the decoder's output before it is cropped."""


@dataclass(frozen=True)
class PaperConfig:
    """Settings of section 4.1."""

    loss: Literal["full", "attentive", "vae"] = "full"
    """full: eq. 1.  attentive: without the perception term.  vae: uniform weights as well (the ablations of table 1)."""
    latent: int = 100
    filters: int = 32
    perception: float = 1e-3
    """eta."""
    prior: float = 1e-4
    """lambda."""
    scale: float = 65_025.0
    """c, the scale of squared errors of pixels from 0 to 1; 65025 is the loss of pixels from 0 to 255."""
    reduction: Literal["mean", "sum"] = "mean"
    """Whether the plain VAE averages squared errors over all pixels and channels, or sums them."""
    learning_rate: float = 1e-3
    batch_size: int = 16

    def __post_init__(self) -> None:
        check_positive(self, "scale", "learning_rate", "latent", "filters", "batch_size")
        check_not_negative(self, "perception", "prior")
        if self.reduction == "sum" and self.loss != "vae":
            raise ConfigError(
                f"reduction is sum, and the loss is {self.loss}",
                expected="mean: the weights of L_p sum to 1",
                todo="use the recipe paper-vae, or leave reduction out",
            )


class PaperNetwork(nn.Module):
    """Encoder f and decoder g of section 4.1."""

    def __init__(self, shape: tuple[int, int, int], latent: int = 100, filters: int = 32) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        if max(shape[1:]) > CANVAS:
            raise too_large("paper", self.height, self.width, CANVAS)
        widths = [filters * 2**i for i in range(4)]
        encoder: list[nn.Module] = []
        for before, after in zip([channels, *widths[:-1]], widths, strict=True):
            encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.encoder = nn.Sequential(*encoder, nn.Flatten())
        with torch.no_grad():
            features = self.encoder.eval()(torch.zeros(1, *shape)).shape[1]
        self.encoder.train()
        self.latent = latent
        self.mean = nn.Linear(features, latent)
        self.log_variance = nn.Linear(features, latent)
        side = CANVAS // 16
        self.expand = nn.Sequential(nn.Linear(latent, widths[-1] * side**2), nn.Unflatten(1, (widths[-1], side, side)))
        decoder: list[nn.Module] = []
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            decoder += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.decoder = nn.Sequential(*decoder, nn.ConvTranspose2d(widths[0], channels, 4, stride=2, padding=1))

    def encode(self, state: State) -> tuple[Latent, Latent]:
        """f(s): means and log-variances (b, z)."""
        features = self.encoder(state)
        return self.mean(features), self.log_variance(features).clamp(-20, 10)

    def decode(self, latent: Latent) -> State:
        """g(z): states in [0, 1]."""
        canvas = self.decoder(self.expand(latent))
        top, left = (CANVAS - self.height) // 2, (CANVAS - self.width) // 2
        return torch.sigmoid(canvas[:, :, top : top + self.height, left : left + self.width])


class PaperRecipe:
    """Section 4.1 as a recipe."""

    splits_batches = False  # batch normalisation depends on the whole batch
    whitens = False
    largest: int | None = CANVAS
    clip: float | None = None
    flow: FlowConfig | None = None

    def __init__(self, config: PaperConfig) -> None:
        self.config = config
        scaled = "L_p" if config.scale == 1 else f"{config.scale:g} L_p"
        perceived = f" + {config.perception:g} L_a" if config.loss == "full" else ""
        weights = (
            f"unweighted, {config.reduction} over pixels" if config.loss == "vae" else "weighted by the agent's saliency"
        )
        self.equation = f"L = {scaled}{perceived} + {config.prior:g} KL, L_p {weights}"

    def changed(self, **settings: Any) -> PaperRecipe:
        """The same recipe with other values of these settings."""
        return PaperRecipe(replace(self.config, **settings))

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> PaperNetwork:
        """Always in float32, as published."""
        return PaperNetwork(statistics.shape, self.config.latent, self.config.filters)

    def optimizers(self, network: nn.Module) -> list[torch.optim.Optimizer]:
        """Adam."""
        return [torch.optim.Adam(network.parameters(), lr=self.config.learning_rate, fused=True)]

    def learning_rate(self, progress: float, step: int) -> float:
        """Constant."""
        return self.config.learning_rate

    def loss(
        self, network: PaperNetwork, batch: Batch, perceive: Perceiver, statistics: DataStatistics
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L of eq. 1, averaged over the batch, and its terms."""
        mean, log_variance = network.encode(batch.state)
        reconstructed = network.decode(mean + torch.exp(0.5 * log_variance) * batch.noise)
        colours = batch.state.shape[1] // statistics.frames
        if self.config.loss == "vae":
            weight = 1.0 if self.config.reduction == "sum" else 1.0 / batch.state[0].numel()
            weights = torch.full_like(batch.state[:1], weight)
        else:
            weights = loss_weights(saliency(perceive, batch.state))
            if weights.shape[1] != batch.state.shape[1]:  # gray frames: a pixel's weight is split over its colours
                weights = weights.repeat_interleave(colours, dim=1) / colours
        terms = {
            "reconstruction": losses.reconstruction(batch.state, reconstructed, weights).mean(),
            "prior": losses.prior(mean, log_variance).mean(),
        }
        total = self.config.scale * terms["reconstruction"] + self.config.prior * terms["prior"]
        if self.config.loss == "full":
            terms["perception"] = losses.perception(batch.output, perceive(reconstructed).vector()).mean()
            total = total + self.config.perception * terms["perception"]
        return total, terms


PAPER = PaperRecipe(PaperConfig())
PAPER_ATTENTIVE = PaperRecipe(PaperConfig(loss="attentive"))
PAPER_VAE = PaperRecipe(PaperConfig(loss="vae"))

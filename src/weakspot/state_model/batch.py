"""The input of a recipe: statistics of the data, and a batch for each step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from weakspot.agents.base import bound_tensors
from weakspot.data.dataset import StateDataset
from weakspot.types import Latent, State

MIN_SPREAD = 0.01
"""Lower bound of the standard deviation of a continuous action, in units of its range."""
MAX_WEIGHT = 100.0
"""Upper bound of the weight of a channel's squared errors."""
STATISTICS_FRAMES = 2_000
"""Frames that the median is computed over; more make no visible difference."""


def channels_last(image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """The same image with its channels last in memory, as in the states."""
    return image.permute(1, 2, 0).contiguous().permute(2, 0, 1)


@dataclass(frozen=True)
class DataStatistics:
    """Statistics of the training states.

    Attributes:
        median: each pixel's median over the frames, in [0, 1], (c, h, w).
        output_variance: the variance of the agent's outputs (n,); averaged over the scores, unless they are means of
            continuous actions, whose units differ.
        frames: k, the frames in a state.
        channel_weights: the weight of squared errors in each channel (c,): the mean of the channels' variances over its
            own, at most :data:`MAX_WEIGHT`; None if the channels are colours, which have the same unit.
    """

    median: Float[Tensor, "c h w"]
    output_variance: Float[Tensor, " n"]
    frames: int
    channel_weights: Float[Tensor, " c"] | None = None

    def to(self, device: torch.device | str) -> DataStatistics:
        """The same statistics on another device."""
        weights = None if self.channel_weights is None else self.channel_weights.to(device)
        return DataStatistics(self.median.to(device), self.output_variance.to(device), self.frames, weights)

    @cached_property
    def background(self) -> Float[Tensor, "kc h w"]:
        """The median frame k times, as a state (kc, h, w), with its channels last in memory."""
        return channels_last(self.median.repeat(self.frames, 1, 1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(kc, h, w) of a state."""
        channels, height, width = self.median.shape
        return self.frames * channels, height, width


@dataclass(frozen=True)
class Batch:
    """One batch of real states.

    Attributes:
        state: (b, kc, h, w) in [0, 1].
        saliency: the stored maps of these states (b, h/2, w/2), as :func:`weakspot.saliency.weights.decode_maps` reads them.
        output: the outputs of the agent for them, recorded at collection (b, n).
        noise: eps of the reparametrisation, standard normal (b, z).
    """

    state: State
    saliency: UInt8[Tensor, "b h2 w2"]
    output: Float[Tensor, "b n"]
    noise: Latent


def recorded_output_vectors(dataset: StateDataset) -> Float[Tensor, "m n"]:
    """The outputs of the agent recorded at collection (m, n): scores, and the critic's value if it has one."""
    scores = torch.as_tensor(np.ascontiguousarray(dataset.scores)).float()
    if dataset.value is None:
        return scores
    return torch.cat([scores, torch.as_tensor(np.ascontiguousarray(dataset.value)).float()[:, None]], dim=1)


def with_full_history(dataset: StateDataset, indices: np.ndarray) -> np.ndarray:
    """Those of ``indices`` that are at least k - 1 decisions after the start of their episode, so that all frames are real.

    Earlier states have black frames in their stack.  They are one in a thousand, and a black frame differs so much from all
    others that the loss of one such state is a thousand times that of another: training on them makes the loss jump.
    """
    return indices[dataset.age[indices] >= dataset.environment.frames - 1]


def measure(dataset: StateDataset, train: np.ndarray, generator: np.random.Generator) -> DataStatistics:
    """The statistics over the training states ``train`` of ``dataset``."""
    chosen = np.sort(generator.choice(train, min(STATISTICS_FRAMES, len(train)), replace=False))
    frames = torch.as_tensor(dataset.newest(chosen)).permute(0, 3, 1, 2)
    median = frames.median(dim=0).values.float() / 255
    weights = None if dataset.environment.channel_colours is None else _channel_weights(frames, median)
    outputs = recorded_output_vectors(dataset)[torch.as_tensor(train)]
    output_variance = outputs.var(dim=0, correction=0)
    actions = dataset.scores.shape[1]
    if dataset.agent.action_bounds is None:
        output_variance[:actions] = output_variance[:actions].mean()
    else:
        low, high = bound_tensors(dataset.agent.action_bounds, output_variance)
        output_variance[:actions] = output_variance[:actions].maximum((MIN_SPREAD * (high - low)).square())
    return DataStatistics(median, output_variance.clamp_min(1e-6), dataset.environment.frames, weights)


def _channel_weights(frames: UInt8[Tensor, "m c h w"], median: Float[Tensor, "c h w"]) -> Float[Tensor, " c"]:
    """See :attr:`DataStatistics.channel_weights`; variances are mean squared deviations from the median frame."""
    pairs = zip(frames.unbind(dim=1), median, strict=True)
    variance = torch.stack([(values.float() / 255 - centre).square().mean() for values, centre in pairs])
    return (variance.mean() / variance).nan_to_num(1.0, posinf=MAX_WEIGHT).clamp_max(MAX_WEIGHT)

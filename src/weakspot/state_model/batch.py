"""What a recipe is given: statistics of the data once, and one batch a step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from weakspot.agents.base import ends
from weakspot.data.dataset import StateDataset
from weakspot.types import Latent, State

LEAST_SPREAD = 0.01
"""Standard deviation of a continuous action, in units of its range, below which it counts as this."""
MOST_WEIGHT = 100.0
"""Of a channel's squared errors, however little it varies."""
STATISTICS_FRAMES = 2_000
"""Frames the median is taken over; more change nothing that can be seen."""


def channels_last(image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """The same image, its channels last in memory, as those of the states are."""
    return image.permute(1, 2, 0).contiguous().permute(2, 0, 1)


@dataclass(frozen=True)
class DataStatistics:
    """What is known of the states before training.

    Attributes:
        median: each pixel's median over the frames, in [0, 1], (c, h, w).
        answer_variance: the variance of everything the agent answered (n,); of one size within the scores, unless these
            are means, whose units differ.
        frames: k, the frames in a state.
        channel_weights: what a squared error in each channel is worth (c,): the mean of the channels' variances over its
            own, :data:`MOST_WEIGHT` at most; None where the channels are colours, whose unit is the same.
    """

    median: Float[Tensor, "c h w"]
    answer_variance: Float[Tensor, " n"]
    frames: int
    channel_weights: Float[Tensor, " c"] | None = None

    def to(self, device: torch.device | str) -> DataStatistics:
        """The same statistics on another device."""
        weights = None if self.channel_weights is None else self.channel_weights.to(device)
        return DataStatistics(self.median.to(device), self.answer_variance.to(device), self.frames, weights)

    @cached_property
    def background(self) -> Float[Tensor, "kc h w"]:
        """The median frame k times, as a state; its channels are last in memory, as those of the states are."""
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
        answer: what the agent answered to them when they were collected (b, n).
        noise: eps of the reparametrisation (b, z).
    """

    state: State
    saliency: UInt8[Tensor, "b h2 w2"]
    answer: Float[Tensor, "b n"]
    noise: Latent


def answers(dataset: StateDataset) -> Float[Tensor, "m n"]:
    """Everything the agent answered at collection: scores, and the value where there is one."""
    scores = torch.as_tensor(np.ascontiguousarray(dataset.scores)).float()
    if dataset.value is None:
        return scores
    return torch.cat([scores, torch.as_tensor(np.ascontiguousarray(dataset.value)).float()[:, None]], dim=1)


def with_history(dataset: StateDataset, indices: np.ndarray) -> np.ndarray:
    """Those of ``indices`` whose k frames all stand, at least k - 1 decisions after their episode's start.

    Earlier states have black frames in their stack.  They are one in a thousand, and a black frame differs so much from
    everything else that each would weigh as much as a thousand others: training on them makes the loss jump.
    """
    return indices[dataset.age[indices] >= dataset.environment.frames - 1]


def measure(dataset: StateDataset, train: np.ndarray, generator: np.random.Generator) -> DataStatistics:
    """The statistics over the training states ``train`` of ``dataset``."""
    chosen = np.sort(generator.choice(train, min(STATISTICS_FRAMES, len(train)), replace=False))
    frames = torch.as_tensor(dataset.newest(chosen)).permute(0, 3, 1, 2)
    median = frames.median(dim=0).values.float() / 255
    weights = None if dataset.environment.channel_colours is None else _channel_weights(frames, median)
    answered = answers(dataset)[torch.as_tensor(train)]
    answer_variance = answered.var(dim=0, correction=0)
    actions = dataset.scores.shape[1]
    if dataset.agent.action_bounds is None:
        answer_variance[:actions] = answer_variance[:actions].mean()
    else:
        low, high = ends(dataset.agent.action_bounds, answer_variance)
        answer_variance[:actions] = answer_variance[:actions].maximum((LEAST_SPREAD * (high - low)).square())
    return DataStatistics(median, answer_variance.clamp_min(1e-6), dataset.environment.frames, weights)


def _channel_weights(frames: UInt8[Tensor, "m c h w"], median: Float[Tensor, "c h w"]) -> Float[Tensor, " c"]:
    """See :attr:`DataStatistics.channel_weights`; variances are those round the median frame."""
    pairs = zip(frames.unbind(dim=1), median, strict=True)
    variance = torch.stack([(shown.float() / 255 - usual).square().mean() for shown, usual in pairs])
    return (variance.mean() / variance).nan_to_num(1.0, posinf=MOST_WEIGHT).clamp_max(MOST_WEIGHT)

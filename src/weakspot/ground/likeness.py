"""How alike two states are: in the pixels that move, in the agent's features, and in its outputs.

The difference of a pixel counts in units of its own standard deviation over real states: a ball, which is rarely in any one
place, counts for more than the digits of a score.  The differences are blurred before they are added up.  Each of the three
distances is in units of its median over pairs of real states, so that 1 means: as different as two real states of different
moments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from weakspot.agents.base import AgentOutput, Perceiver
from weakspot.analysis.features import outputs_and_features
from weakspot.data.dataset import StateDataset, as_state
from weakspot.errors import ConfigError
from weakspot.ground.classes import as_drawn, class_channels
from weakspot.types import Stacks

PARTS = ("pixels", "features", "outputs")
"""Names of the three distances."""
MOVING = 15
"""Levels of a colour by which a pixel has to differ from the median frame to belong to something that moves."""
BLUR = 0.03
"""Standard deviation of the blur of differences, in sides of a frame: an object that is drawn faintly, or a little beside
its place, is closer than one that is missing."""
LEAST_SPREAD = 8.0
"""Levels; so that pixels in which hardly anything ever moves do not count for all others."""
MEDIAN_OF, PAIRS = 500, 256
"""Real states that the median frame is computed from, and pairs of real states that the units are measured on."""


@dataclass(frozen=True)
class Views:
    """What is compared of n states.

    Attributes:
        stacks: (n, k, h, w, c) uint8.
        moving: which pixels differ from the median frame (n, k, h, w).
        features: in the agent's last hidden layer (n, f).
        output: the agent's.
    """

    stacks: Stacks
    moving: Bool[np.ndarray, "n k h w"]
    features: Float[np.ndarray, "n f"]
    output: AgentOutput

    def __len__(self) -> int:
        return len(self.stacks)

    def row(self, number: int) -> Views:
        """One of the states."""
        chosen = slice(number, number + 1)
        rows = torch.arange(number, number + 1)
        return Views(self.stacks[chosen], self.moving[chosen], self.features[chosen], self.output.rows(rows))


@dataclass(frozen=True)
class Likeness:
    """Compares states of one agent in one environment.

    Attributes:
        perceive: A(s).
        median: median frame of the recorded states (h, w, c).
        spread: standard deviation of each value of a frame over the recorded states, at least :data:`LEAST_SPREAD`
            (h, w, c).
        units: median distances between real states (3,), in the order of :data:`PARTS`.
        classes: the channels that show classes.
    """

    perceive: Perceiver
    median: Float[np.ndarray, "h w c"]
    spread: Float[np.ndarray, "h w c"]
    units: Float[np.ndarray, "3"]
    classes: tuple[int, ...] = ()

    def views_of_model(self, stacks: Stacks) -> Views:
        """What is compared of states (n, k, h, w, c) of a state model: their classes as an environment would draw them,
        and what the agent makes of the states as they are."""
        views = self.views(stacks)
        drawn = as_drawn(stacks, self.classes)
        return replace(views, stacks=drawn, moving=np.stack([self._moving(stack) for stack in drawn]))

    def views(self, stacks: Stacks) -> Views:
        """What is compared of states (n, k, h, w, c)."""
        moving = np.stack([self._moving(stack) for stack in stacks])
        with torch.no_grad():
            output, features = outputs_and_features(self.perceive, as_state(stacks))
        return Views(stacks, moving, features.numpy(), output)

    def _moving(self, stack: np.ndarray) -> np.ndarray:
        """Which pixels of a state (k, h, w, c) differ from the median frame (k, h, w)."""
        return in_any_channel(np.abs(stack.astype(np.float32) - self.median) > MOVING)

    def distances(self, wanted: Views, others: Views) -> Float[np.ndarray, "n 3"]:
        """The three distances of n states from the single state ``wanted``, in units of real states."""
        return _raw_distances(wanted, others, self.spread) / self.units


def in_any_channel(flags: Bool[np.ndarray, "*pixels c"]) -> Bool[np.ndarray, "*pixels"]:
    """Which pixels are flagged in at least one channel; several times as fast as a reduction over the last axis."""
    return reduce(np.logical_or, (flags[..., channel] for channel in range(flags.shape[-1])))


def measure_likeness(
    perceive: Perceiver, dataset: StateDataset, indices: np.ndarray, generator: np.random.Generator
) -> Likeness:
    """Measures the median frame and the units on recorded states.

    A part that is the same in most pairs is measured by its mean; one that never differs does not count.

    Raises:
        ConfigError: there are fewer than two states.
    """
    if len(indices) < 2:
        raise ConfigError(
            f"{len(indices)} recorded states with complete histories", expected="at least two", todo="collect more frames"
        )
    chosen = generator.permutation(indices)
    frames = dataset.newest(chosen[:MEDIAN_OF])
    median = np.median(frames, axis=0).astype(np.float32)
    spread = np.maximum(frames.std(axis=0, dtype=np.float32), LEAST_SPREAD)
    raw = Likeness(perceive, median, spread, np.ones(3), class_channels(frames))
    count = min(PAIRS, len(chosen) // 2)
    first, second = (raw.views(dataset.stacks(part)) for part in (chosen[:count], chosen[count : 2 * count]))
    pairs = np.concatenate([_raw_distances(first.row(i), second.row(i), spread) for i in range(count)])
    units = np.where(np.median(pairs, axis=0) > 0, np.median(pairs, axis=0), pairs.mean(axis=0))
    return replace(raw, units=np.where(units > 0, units, np.inf))


def _raw_distances(wanted: Views, others: Views, spread: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "n 3"]:
    """The sum of absolute differences over all pixels that move in either state, each over its spread, after a blur; and
    Euclidean distances of features and outputs."""
    masks = others.moving | wanted.moving
    pixels = np.empty(len(others))
    for number, (stack, mask) in enumerate(zip(others.stacks, masks, strict=True)):
        difference = (stack.astype(np.float32) - wanted.stacks[0]) / spread * mask[..., None]
        pixels[number] = sum(np.abs(_blurred(frame)).sum() for frame in difference)
    features = np.linalg.norm(others.features - wanted.features, axis=1)
    outputs = np.linalg.norm(as_vectors(others.output) - as_vectors(wanted.output), axis=1)
    return np.stack([pixels, features, outputs], axis=1)


def _blurred(frame: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """A frame after a Gaussian blur; differences of opposite signs that are close to each other cancel."""
    height, width, channels = frame.shape
    sigma = BLUR * max(height, width)
    parts = [frame[..., first : first + 4] for first in range(0, channels, 4)]  # as many channels as OpenCV takes
    blurred = [cv2.GaussianBlur(np.ascontiguousarray(part), (0, 0), sigma).reshape(height, width, -1) for part in parts]
    return np.concatenate(blurred, axis=2)


def as_vectors(output: AgentOutput) -> Float[np.ndarray, "n a"]:
    """An agent's outputs as one array."""
    return output.vector().detach().cpu().numpy()

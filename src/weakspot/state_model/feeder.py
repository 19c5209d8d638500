"""Batches for the training of a state model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from weakspot.data.dataset import StateDataset, as_state
from weakspot.state_model.batch import Batch, recorded_output_vectors
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.recipes import Recipe

CUDA_FACTOR = 16
"""Factor of the batch size on CUDA, where a step takes about as long for few states as for many."""


def with_batch_size(chosen: Recipe, config: TrainConfig, device: torch.device) -> Recipe:
    """The recipe with the batch size that ``config`` sets, or else the one that suits ``device``."""
    if config.batch_size:
        return chosen.changed(batch_size=config.batch_size)
    if device.type == "cuda" and chosen.splits_batches:
        return chosen.changed(batch_size=CUDA_FACTOR * chosen.config.batch_size)
    return chosen


class Feeder:
    """Batches of a data set, drawn with replacement from the training states.

    Args:
        dataset: the recorded states.
        maps: their stored saliency maps.
        train: indices of the training states.
        latent: z, the length of the noise vectors.
        seed: of the two generators, ``order`` and ``noise``.
    """

    def __init__(self, dataset: StateDataset, maps: np.ndarray, train: np.ndarray, latent: int, seed: int) -> None:
        self.dataset, self.maps, self.train, self.latent = dataset, maps, train, latent
        self.output_vectors = recorded_output_vectors(dataset)
        self.order = np.random.default_rng([seed, 1])
        self.noise = torch.Generator().manual_seed(seed)

    def draw(self, size: int) -> tuple[np.ndarray, Tensor]:
        """Indices of the next batch, and its reparametrisation noise."""
        chosen = self.train[self.order.integers(len(self.train), size=size)]
        return chosen, torch.randn(size, self.latent, generator=self.noise)

    def batch(self, chosen: np.ndarray, noise: Tensor, device: torch.device | str) -> Batch:
        """The states ``chosen`` as a batch on ``device``."""
        return Batch(
            as_state(self.dataset.stacks(chosen)).to(device),
            torch.as_tensor(self.maps[chosen]).to(device),
            self.output_vectors[torch.as_tensor(chosen)].to(device),
            noise.to(device),
        )


def encoded(network: Any, dataset: StateDataset, indices: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """f(s) of the recorded states ``indices``: means and log-variances of their latents (n, z)."""
    means: list[Tensor] = []
    log_variances: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(indices), 128):
            mean, log_variance = network.encode(as_state(dataset.stacks(indices[start : start + 128])).to(device))
            means.append(mean)
            log_variances.append(log_variance)
    return torch.cat(means), torch.cat(log_variances)

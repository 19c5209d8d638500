"""Classifier two-sample test: whether a classifier can tell synthesised states from real ones.

A small convolutional network is trained on half of both sets and tested on the other half.  An accuracy of 0.5 is chance:
the synthesised states look like real ones.  1 means that they differ in some way, not that it matters: a blur that no agent
would react to is enough.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakspot.types import State


def classifier_accuracy(
    real: State, synthesised: State, *, seed: int = 0, steps: int = 300, batch_size: int = 32, learning_rate: float = 1e-3
) -> float:
    """Accuracy of the classifier on held-out states, half of them real.

    Args:
        real: real states (n, kc, h, w) in [0, 1].
        synthesised: synthesised states (n, kc, h, w) in [0, 1]; of a larger set only the first n are used.
        seed: of the split, the network and the batches.
        steps: number of training steps.
        batch_size: states per step, half of each kind.
        learning_rate: of AdamW at the start; it falls linearly to 0.
    """
    generator = torch.Generator().manual_seed(seed)
    count = min(len(real), len(synthesised))
    order = torch.randperm(count, generator=generator)
    train, test = order[: count // 2], order[count // 2 :]
    network = _classifier(real.shape[1], seed).to(real.device)
    optimizer: Any = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2)
    half = batch_size // 2
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        chosen = train[torch.randint(len(train), (2, half), generator=generator)]
        batch = torch.cat([real[chosen[0]], synthesised[chosen[1]]])
        loss = F.binary_cross_entropy_with_logits(network(batch)[:, 0], _labels(half, real.device))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    network.eval()
    with torch.no_grad():
        correct = [(network(part)[:, 0] > 0).sum() for part in torch.split(synthesised[test], 64)]
        correct += [(network(part)[:, 0] <= 0).sum() for part in torch.split(real[test], 64)]
    return float(torch.stack(correct).sum()) / (2 * len(test))


def _labels(half: int, device: torch.device) -> Tensor:
    """0 for real states, 1 for synthesised ones, ``half`` of each."""
    return torch.cat([torch.zeros(half, device=device), torch.ones(half, device=device)])


def _classifier(channels: int, seed: int) -> nn.Sequential:
    """A network with one logit, initialised from ``seed``; leaves the global random generator as it was."""
    random: Any = torch.random  # has no type hints
    with random.fork_rng(devices=[]):
        random.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, 32, 4, stride=4), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU(),
            nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 1),
        )  # fmt: skip

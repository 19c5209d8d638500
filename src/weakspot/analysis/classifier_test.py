"""Whether a classifier can tell made states from real ones.

A small convolutional network is trained on half of both and asked about the other half.  0.5 is chance: nothing gives
the made states away.  1 says that something does, not that it matters: a blur that no agent would mind is enough.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakspot.types import State


def telling_accuracy(
    real: State, made: State, *, seed: int = 0, steps: int = 300, batch_size: int = 32, learning_rate: float = 1e-3
) -> float:
    """Share of held-back states, half of them real, that the classifier gets right.

    Args:
        real: states (n, kc, h, w) in [0, 1].
        made: as many.
        seed: of the split, the network and the batches.
        steps: of training.
        batch_size: states in a step, half of each kind.
        learning_rate: Adam's.
    """
    generator = torch.Generator().manual_seed(seed)
    count = min(len(real), len(made))
    order = torch.randperm(count, generator=generator)
    train, test = order[: count // 2], order[count // 2 :]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _classifier(real.shape[1]).to(real.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2)
    half = batch_size // 2
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        chosen = train[torch.randint(len(train), (2, half), generator=generator)]
        batch = torch.cat([real[chosen[0]], made[chosen[1]]])
        loss = F.binary_cross_entropy_with_logits(network(batch)[:, 0], _labels(half, real.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        right = [(network(part)[:, 0] > 0).sum() for part in made[test].split(64)]
        right += [(network(part)[:, 0] <= 0).sum() for part in real[test].split(64)]
    return float(torch.stack(right).sum()) / (2 * len(test))


def _labels(half: int, device: torch.device) -> Tensor:
    return torch.cat([torch.zeros(half, device=device), torch.ones(half, device=device)])


def _classifier(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 32, 4, stride=4), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 1),
    )  # fmt: skip

"""Which hidden state a recurrent agent has in a state that was not recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from weakspot.data.dataset import StateDataset, as_state
from weakspot.types import Hidden, State

SIDE = 21
"""Height and width of the small gray frames that are compared."""
RECALLED = 4_096
"""Recorded states that are compared with."""


@dataclass(frozen=True)
class Recall:
    """The hidden state h_n of the recorded state that looks most like a state x:

        n = argmin_i |p(x) - p(x_i)|

    where p(x) are the k frames of x, gray and averaged over a grid of 21x21.

    Attributes:
        looks: p(x_i) of recorded states (n, f).
        hidden: of the agent in these states (n, m).
    """

    looks: Tensor
    hidden: Hidden

    def __call__(self, state: State) -> Hidden:
        """Hidden states (b, m) for states (b, kc, h, w) in [0, 1]."""
        seen = looks_of(state, self._frames(state)).to(self.looks)
        return self.hidden[torch.cdist(seen, self.looks).argmin(dim=1)].to(state.device)

    def _frames(self, state: State) -> int:
        return self.looks.shape[1] // SIDE**2


def looks_of(state: State, frames: int) -> Tensor:
    """p(x) (b, f) of states (b, kc, h, w)."""
    gray = state.reshape(len(state), frames, -1, *state.shape[2:]).mean(dim=2)
    return F.adaptive_avg_pool2d(gray, SIDE).flatten(1)


def recall_of(dataset: StateDataset, indices: np.ndarray) -> Callable[[State], Hidden] | None:
    """Recalls hidden states from recorded states, evenly spaced among ``indices``; None for agents without hidden states."""
    if dataset.hidden is None:
        return None
    chosen = indices[np.linspace(0, len(indices) - 1, min(len(indices), RECALLED)).astype(int)]
    frames = dataset.environment.frames
    parts = [looks_of(as_state(dataset.stacks(part)), frames) for part in np.array_split(chosen, len(chosen) // 256 + 1)]
    return Recall(torch.cat(parts), torch.as_tensor(np.asarray(dataset.hidden[chosen])))


def hidden_of(dataset: object, indices: np.ndarray) -> np.ndarray | None:
    """The hidden states (n, m) that a recurrent agent had in recorded states; None for other agents, and for data sets that
    do not have them."""
    hidden: np.ndarray | None = getattr(dataset, "hidden", None)
    return None if hidden is None else np.asarray(hidden[indices])

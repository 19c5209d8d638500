"""The agent's observation as a differentiable function of the colour state (paper, section 4.1).

Area resize and the weighted sum of colours are both linear, so gray(resize(colour)) equals resize(gray(colour)) up to
rounding to uint8.  The pixel maximum over two emulator frames does not commute with the sum; the difference is small, and
a test compares it with the real wrapper's observation.
"""

from __future__ import annotations

import torch

from weakspot.types import Observation, State

GRAY = (0.2989, 0.5870, 0.1140)
"""Weights of red, green and blue in the emulator's own gray palette."""


def gray_observation(state: State, colours: tuple[float, float, float] = GRAY) -> Observation:
    """Gray stacks (b, k, h, w) in 0 to 255 from colour stacks (b, 3k, h, w) in 0 to 1.

    ``colours`` are the weights of red, green and blue.
    """
    weights = 255.0 * torch.tensor(colours, dtype=state.dtype, device=state.device)
    mixing = torch.kron(torch.eye(state.shape[1] // 3, dtype=state.dtype, device=state.device), weights[:, None])
    return (state.permute(0, 2, 3, 1) @ mixing).permute(0, 3, 1, 2)  # one product with (3k, k): fast with channels last


def colour_observation(state: State) -> Observation:
    """Colour stacks (b, 3k, h, w) in 0 to 255 from the same in 0 to 1, for agents that see colour."""
    return 255.0 * state

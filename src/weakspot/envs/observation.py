"""The agent's observation as a differentiable function of the colour state (paper, section 4.1).

Area resize and the weighted sum of colours are both linear, so gray(resize(colour)) equals resize(gray(colour)) up to
rounding to uint8.  The pixel maximum over two emulator frames does not commute with the sum; the difference is small, and
a test compares it with the real wrapper's observation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from weakspot.envs.reduction import EMULATOR, GRAYS, Reduction, Weights
from weakspot.types import Observation, State

GRAY = GRAYS[EMULATOR]
"""Weights of red, green and blue in the emulator's own gray palette."""
ROUNDING_LOSS = 0.499
"""Average loss when values are rounded down; slightly below 0.5, so that whole numbers round back to themselves."""


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


def gray_rounded_down(state: State, colours: Weights) -> Observation:
    """The gray observation of an environment that rounds down.

    Rounded to the nearest whole number it is the environment's observation, and its average is the same.
    """
    return gray_observation(state, colours) - ROUNDING_LOSS


def observation_function(reduction: Reduction) -> Callable[[State], Observation]:
    """The agent's observation as a differentiable function of states whose frames were reduced like the agent's.

    Crop, resize, pad and the exchange of axes are the same for the colours and for gray, and commute with the sum of
    colours, so only that sum is left, in whatever order the steps were taken.
    """
    weights = reduction.weights
    if weights is None:
        return colour_observation
    is_single_channel = max(weights) == 1.0
    rounds_down = reduction.rounding == "down" and not is_single_channel
    return partial(gray_rounded_down if rounds_down else gray_observation, colours=weights)

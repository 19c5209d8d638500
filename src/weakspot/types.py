"""Array and tensor types with their shapes, for the whole package (jaxtyping; checked at run time in the tests only).

``b`` states in a batch, ``k`` frames in a stack, ``c`` channels (3 for colour, 1 for gray), ``h`` by ``w`` pixels,
``a`` actions, ``z`` latent dimensions.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from weakspot.actions import Bounds as Bounds

State: TypeAlias = Float[Tensor, "b kc h w"]
"""What the state model generates: k colour frames, oldest first, [r g b] each, in [0, 1]."""

Observation: TypeAlias = Float[Tensor, "b c h w"]
"""The agent's input, in the environment's own range (0 to 255 for images); a differentiable function of the state."""

Hidden: TypeAlias = Float[Tensor, "b m"]
"""The hidden states of a recurrent agent: m numbers for each state."""

Latent: TypeAlias = Float[Tensor, "b z"]
Scores: TypeAlias = Float[Tensor, "b a"]
PerState: TypeAlias = Float[Tensor, "b"]
Actions: TypeAlias = Int[Tensor, "b"] | Float[Tensor, "b a"]
"""Indices of discrete actions, or the values of each dimension of continuous ones."""

Frame: TypeAlias = UInt8[np.ndarray, "h w c"]
"""One stored colour frame."""

Frames: TypeAlias = UInt8[np.ndarray, "n h w c"]
Stacks: TypeAlias = UInt8[np.ndarray, "n k h w c"]
"""Stored states: n stacks of k colour frames, oldest first."""

"""Shapes, once for the whole package (jaxtyping; checked at run time in the tests only).

``b`` states in a batch, ``k`` frames in a stack, ``c`` colours (3, or 1 for gray), ``h`` by ``w`` pixels, ``a`` actions,
``z`` latent dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex, TypeAlias

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

State: TypeAlias = Float[Tensor, "b kc h w"]
"""What the state model generates: k colour frames, oldest first, [r g b] each, in [0, 1]."""

Observation: TypeAlias = Float[Tensor, "b c h w"]
"""What the agent sees, in the environment's own range (0 to 255 for images), a differentiable function of the state."""

Latent: TypeAlias = Float[Tensor, "b z"]
Scores: TypeAlias = Float[Tensor, "b a"]
PerState: TypeAlias = Float[Tensor, "b"]
Actions: TypeAlias = Int[Tensor, "b"] | Float[Tensor, "b a"]
"""Numbers of discrete actions, or the values of each dimension of continuous ones."""

Decision: TypeAlias = SupportsIndex | Sequence[float]
"""One of these."""

Bounds: TypeAlias = tuple[tuple[float, float], ...]
"""The least and the largest value of each dimension of continuous actions."""

Frame: TypeAlias = UInt8[np.ndarray, "h w c"]
"""One stored colour frame."""

Frames: TypeAlias = UInt8[np.ndarray, "n h w c"]
Stacks: TypeAlias = UInt8[np.ndarray, "n k h w c"]
"""Stored states: n stacks of k colour frames, oldest first."""

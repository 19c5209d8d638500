"""Names of options that settings, agents and models share."""

from __future__ import annotations

from typing import Literal, TypeAlias

SaliencyRule: TypeAlias = Literal["guided", "gradient"]
"""How saliency is computed: guided backpropagation, or the plain gradient."""

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
"""Number format of matrix products; ``auto`` chooses the fastest one on the machine."""

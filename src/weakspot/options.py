"""Choices that settings, agents and models share, by name."""

from __future__ import annotations

from typing import Literal, TypeAlias

SaliencyRule: TypeAlias = Literal["guided", "gradient"]
"""How saliency is computed: guided backpropagation, or the plain gradient."""

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
"""Number format of the fast recipe's products."""

"""The largest frames that a recipe takes."""

from __future__ import annotations

from weakspot.errors import ConfigError


def too_large(name: str, height: int, width: int, largest: int) -> ConfigError:
    """The error for frames of ``height`` x ``width`` where the recipe ``name`` takes ``largest`` x ``largest`` at most."""
    return ConfigError(
        f"frames of {height}x{width} for the recipe {name}",
        expected=f"at most {largest}x{largest}, the canvas of its decoder",
        todo="choose a smaller size for the environment, or --train.recipe fast",
    )

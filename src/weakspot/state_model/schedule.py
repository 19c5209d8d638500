"""Schedules of learning rates."""

from __future__ import annotations

import math


def warmed_cosine(rate: float, progress: float, step: int, warm_up: int) -> float:
    """A linear rise to ``rate`` over ``warm_up`` steps, times a cosine from 1 to 0.01 over the budget.

    Args:
        rate: the highest learning rate.
        progress: share of the budget that is used.
        step: steps taken so far.
        warm_up: number of steps of the linear rise.
    """
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return rate * min(1.0, (step + 1) / warm_up) * (0.01 + 0.99 * cosine)

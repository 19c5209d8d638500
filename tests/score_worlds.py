"""Two gymnasium environments whose scores tell something: how frames were made, and how much scores can differ."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

SIDE, STEPS = 168, 40


class Blocks(gymnasium.Env[np.ndarray, int]):
    """One point for each step in which the action is the half of the picture where the first pixel of blocks is bright.

    The blocks of two by two pixels of the other half are brighter on average: an agent that takes the brighter half is
    always right if frames are made with nearest interpolation, and always wrong if pixels are averaged.

    Args:
        plain: share of the steps in which the half to choose is simply brighter.
    """

    observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, plain: float = 0.0) -> None:
        self._plain = plain

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._show(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward, self._steps = float(action == self._half), self._steps + 1
        return self._show(), reward, self._steps >= STEPS, False, {}

    def _show(self) -> np.ndarray:
        self._half = int(self.np_random.integers(2))
        first = np.array([[255, 0], [0, 0]], np.uint8)
        others = np.array([[0, 150], [150, 150]], np.uint8)
        if self.np_random.random() < self._plain:
            first, others = np.full((2, 2), 200, np.uint8), np.zeros((2, 2), np.uint8)
        halves = [np.tile(first if half == self._half else others, (SIDE // 2, SIDE // 4)) for half in (0, 1)]
        return np.repeat(np.concatenate(halves, axis=1)[..., None], 3, axis=2)


class Lottery(gymnasium.Env[np.ndarray, int]):
    """One step: action 1 scores 800 with a standard deviation of 900, action 0 nothing."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self._show(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self._show(), action * (800.0 + 900.0 * self.np_random.standard_normal()), True, False, {}

    def _show(self) -> np.ndarray:
        return self.np_random.integers(100, 156, size=(84, 84), dtype=np.uint8)


gymnasium.register("Blocks-v0", Blocks)
gymnasium.register("Lottery-v0", Lottery)

"""Environments ``grid/N``: a column of light on a row of N cells; the actions move it to the left and to the right."""

from __future__ import annotations

import json
import re
from functools import partial

import numpy as np
import torch

from weakspot.envs.base import EnvironmentSpec, Step

CELL = 2
"""Width of a cell in pixels."""
HEIGHT = 8
BRIGHT = 200
EPISODE = 20
"""Steps per episode."""


class GridEnvironment:
    """The agent sees the newest two frames in colour; moving to the left end gives a reward of 1."""

    def __init__(self, reference: str) -> None:
        self.cells = int(reference.partition("/")[2])
        self.spec = EnvironmentSpec(
            id=reference, action_names=("LEFT", "RIGHT"), frames=2, height=HEIGHT, width=CELL * self.cells, channels=3,
            preprocessing={}, gray=False,
        )  # fmt: skip
        self.random = np.random.default_rng(0)
        self.cell = self.previous = self.time = 0

    @staticmethod
    def observe(state: torch.Tensor) -> torch.Tensor:
        return 255.0 * state

    def reset(self, seed=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.cell = self.previous = int(self.random.integers(self.cells))
        self.time = 0
        return self._step(0.0)

    def step(self, action):
        self.previous = self.cell
        self.cell = min(max(self.cell + (1 if action == 1 else -1), 0), self.cells - 1)
        self.time += 1
        return self._step(float(self.cell == 0))

    def snapshot(self) -> bytes:
        return json.dumps([self.cell, self.previous, self.time, self.random.bit_generator.state]).encode()

    def restore(self, snapshot):
        self.cell, self.previous, self.time, self.random.bit_generator.state = json.loads(snapshot)
        return self._step(float(self.time > 0 and self.cell == 0))

    def close(self) -> None:
        pass

    def _step(self, reward: float) -> Step:
        older, newest = self._frame(self.previous), self._frame(self.cell)
        observation = np.concatenate([older, newest], axis=2).transpose(2, 0, 1).copy()
        return Step(observation, newest, reward, terminated=self.time >= EPISODE, truncated=False)

    def _frame(self, cell: int) -> np.ndarray:
        frame = np.zeros((HEIGHT, CELL * self.cells, 3), np.uint8)
        frame[:, CELL * cell : CELL * (cell + 1)] = BRIGHT
        return frame


def recognises(reference: str) -> bool:
    return re.fullmatch(r"grid/\d+", reference) is not None


def factory(reference: str):
    return partial(GridEnvironment, reference)

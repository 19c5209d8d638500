"""An environment with a lamp whose place is known: play moves it in one row, and only edits put it beyond column 9."""

from __future__ import annotations

import numpy as np
import torch
from small_worlds import SmallWorld
from torch import nn

from weakspot.agents.base import AgentOutput, AgentSpec, Perceiver
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.envs.base import Step

ROWS, COLUMNS, REACHABLE, SIDE, EPISODE = 6, 16, 10, 4, 40
ACTIONS = ("LEFT", "RIGHT", "UP", "DOWN")
COLUMN, ROW, DUST, FUSE = range(4)


class Lamp(SmallWorld):
    """A bright square in a dark room; the agent never moves it up or down, and a burnt fuse ends the episode."""

    def __init__(self, editable: bool = True) -> None:
        bounds = ((COLUMNS - 1, "column"), (ROWS - 1, "row"), (99, "dust"), (1, "fuse"))
        super().__init__("lamp", ACTIONS, ROWS * SIDE, COLUMNS * SIDE, bounds, editable)

    def reset(self, seed=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        return self.start([int(self.random.integers(REACHABLE)), 0, int(self.random.integers(100)), 0])

    def step(self, action):
        self.older = self.frame()
        column, row, dust, fuse = self.state
        if action < 2 and column < REACHABLE:
            column = min(max(column + (1 if action == 1 else -1), 0), REACHABLE - 1)
        elif action >= 2:
            row = min(max(row + (1 if action == 2 else -1), 0), ROWS - 1)
        self.state, self.time = [column, row, (dust + 7) % 100, fuse], self.time + 1
        return self.result()

    def result(self):
        newest, over = self.frame(), self.time >= EPISODE
        return Step(self.observation(newest), newest, 0.0, terminated=bool(self.state[FUSE]), truncated=over)

    def frame(self):
        frame = np.zeros((ROWS * SIDE, COLUMNS * SIDE, 3), np.uint8)
        column, row = self.state[COLUMN] * SIDE, self.state[ROW] * SIDE
        frame[row : row + SIDE, column : column + SIDE] = 200
        frame[-1, 0] = 100 + 10 * (self.state[DUST] % 2)  # a faint clock, which the agent does not see
        return frame


class Gardener:
    """Q(LEFT) = column - 4.5 and Q(RIGHT) = 4.5 - column of the newest frame; UP and DOWN are worth -20."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        weight = torch.zeros(6, ROWS * SIDE, COLUMNS * SIDE)
        columns = torch.arange(COLUMNS * SIDE) // SIDE
        weight[3:] = columns / (200.0 * SIDE * SIDE * 3)
        head = nn.Linear(weight.numel(), 4)
        with torch.no_grad():
            head.weight.copy_(torch.stack([weight.flatten(), -weight.flatten(), *torch.zeros(2, weight.numel())]))
            head.bias.copy_(torch.tensor([-4.5, 4.5, -20.0, -20.0]))
        self.module = nn.Sequential(nn.Flatten(), head).requires_grad_(False)
        self.spec = AgentSpec("gardener", "lamp", ACTIONS, (6, ROWS * SIDE, COLUMNS * SIDE), "q-values", "greedy", "g")

    def __call__(self, observation):
        return AgentOutput(self.module(observation))


class Faithful:
    """A state model whose reconstructions are nearly exact."""

    device = torch.device("cpu")

    def __init__(self, factor: float = 0.97) -> None:
        self.factor = factor

    def reconstruct(self, state):
        return self.factor * state


def play_lamps(folder):
    """Recorded states, and the agent that played."""
    agent = Gardener()
    config = CollectConfig(frames=400, streams=4, shard_steps=50, snapshot_every=10, epsilon=0.0)
    return collect(agent, Lamp, config, folder, workers=1), Perceiver(agent, Lamp.observe)


def without_clock(frames):
    """Frames (..., h, w, 3) without the clock."""
    frames = frames.copy()
    frames[..., -1, 0, :] = 0
    return frames


def picture(column, row, before=None):
    """A state (2, h, w, 3) with the lamp at a place, and before at another one, in the same place by default."""
    lamp, frames = Lamp(), []
    for place in (before or (column, row), (column, row)):
        lamp.state = [*place, 0, 0]
        frames.append(lamp.frame())
    return np.stack(frames)

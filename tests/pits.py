"""An environment whose losses, their causes and their rescues are known: a diver on a ring with one air station.

The diver swims right, one place a decision, and reaches the station at place 9 every ten decisions, where its air is filled
up.  An episode may start with too little air to get there: PUMP adds air, but the agent never pumps.  It may also start with
a bomb, which goes off whatever the diver does.  Dust means nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from small_worlds import SmallWorld
from torch import nn

from weakspot.agents.base import AgentOutput, AgentSpec, Perceiver
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.envs.base import Step

PLACES, FULL, FUSE, SIDE, EPISODE = 10, 20, 12, 4, 30
ACTIONS = ("RIGHT", "PUMP", "WAIT")
PLACE, AIR, BOMB, DUST = range(4)


class Ring(SmallWorld):
    """Frames show the diver's place in the upper rows, its air in the middle, and the bomb and the dust below."""

    def __init__(self, editable: bool = True) -> None:
        bounds = ((PLACES - 1, "place"), (FULL, "air"), (FUSE, "bomb"), (9, "dust"))
        super().__init__("ring", ACTIONS, 4 * SIDE, 2 * FULL, bounds, editable)

    def reset(self, seed=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        random = self.random
        bomb = FUSE if random.random() < 0.2 else 0
        short = random.random() < 0.5
        air = int(random.integers(5, 8) if short else random.integers(12, FULL))
        place = int(random.integers(2) if short else random.integers(PLACES))
        return self.start([place, air, bomb, int(random.integers(10))])

    def step(self, action):
        self.older = self.frame()
        place, air, bomb, _ = self.state
        air, bomb = air - 1, max(bomb - 1, 0)
        exploded = self.state[BOMB] == 1
        if action == 0:
            place = (place + 1) % PLACES
        elif action == 1:
            air = min(air + 4, FULL)
        if place == PLACES - 1:
            air = FULL
        self.state, self.time = [place, max(air, 0), bomb, int(self.random.integers(10))], self.time + 1
        return self.result(0.1 if action == 0 else 0.0, air <= 0 or exploded)

    def result(self, reward=0.0, lost=False):
        newest = self.frame()
        cause = "" if not lost else "bomb" if self.state[AIR] > 0 else "air"
        over = not lost and self.time >= EPISODE
        return Step(self.observation(newest), newest, reward, lost, over, life_lost=lost, cause=cause)

    def frame(self):
        frame = np.zeros((4 * SIDE, 2 * FULL, 3), np.uint8)
        frame[:SIDE, 4 * self.state[PLACE] : 4 * self.state[PLACE] + 4] = 200
        frame[SIDE : 2 * SIDE, : 2 * self.state[AIR], 2] = 255
        frame[2 * SIDE : 3 * SIDE, : 2 * self.state[BOMB], 0] = 255
        frame[-1, : self.state[DUST]] = 60
        return frame

    def reseed(self, seed):
        self.random = np.random.default_rng(seed)


class Locked(Ring):
    """A ring whose bomb does not go off once the diver has pumped twice and waited twice; dust counts both, up to two."""

    DEFUSED = 8

    def step(self, action):
        waits, pumps = divmod(self.state[DUST], 3)
        counted = 3 * min(waits + (action == 2), 2) + min(pumps + (action == 1), 2)
        if counted == self.DEFUSED:
            self.state[BOMB] = 0
        result = super().step(action)
        self.state[DUST] = counted
        return self.result(result.reward, result.terminated)

    def start(self, state):
        return super().start([*state[:DUST], 0])


class Diver:
    """Q(RIGHT) is 1 plus the air of the newest frame over 20; PUMP and WAIT are worth nothing."""

    device = torch.device("cpu")

    def __init__(self, chosen: int = 0) -> None:
        weight = torch.zeros(6, 4 * SIDE, 2 * FULL)
        weight[5, SIDE : 2 * SIDE] = 1.0 / (255.0 * SIDE * 2 * FULL)
        head = nn.Linear(weight.numel(), 3)
        rows = [torch.zeros(weight.numel())] * 3
        rows[chosen] = weight.flatten()
        with torch.no_grad():
            head.weight.copy_(torch.stack(rows))
            head.bias.copy_(torch.tensor([1.0 if action == chosen else 0.0 for action in range(3)]))
        self.module = nn.Sequential(nn.Flatten(), head).requires_grad_(False)
        self.spec = AgentSpec("diver", "ring", ACTIONS, (6, 4 * SIDE, 2 * FULL), "q-values", "greedy", f"d{chosen}")

    def __call__(self, observation):
        return AgentOutput(self.module(observation))


def play_rings(folder, epsilon=0.0, environment=Ring):
    """Recorded states, and the agent that played."""
    agent = Diver()
    config = CollectConfig(frames=1_000, streams=10, shard_steps=50, snapshot_every=10, epsilon=epsilon)
    return collect(agent, environment, config, folder, workers=1), Perceiver(agent, environment.observe)

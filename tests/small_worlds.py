"""What small environments of tests share: four whole numbers as their state, and two frames as a state of the agent."""

from __future__ import annotations

import json

import numpy as np

from weakspot.envs.base import EnvironmentSpec
from weakspot.envs.editable import Variable, check_changes


class SmallWorld:
    """Subclasses have ``reset``, ``step``, ``frame``, and ``result``, the step in the current state without a reward."""

    def __init__(self, name, actions, height, width, bounds, editable=True):
        self.spec = EnvironmentSpec(
            id=name, action_names=actions, frames=2, height=height, width=width, channels=3, preprocessing={}, gray=False
        )
        self.variables = tuple(Variable(name, 0, high, whole=True) for high, name in bounds) if editable else ()
        self.random = np.random.default_rng(0)
        self.state, self.time, self.older = [0, 0, 0, 0], 0, None

    @staticmethod
    def observe(state):
        return 255.0 * state

    def start(self, state):
        self.state, self.time = state, 0
        self.older = np.zeros_like(self.frame())
        return self.result()

    def observation(self, newest):
        return np.concatenate([self.older, newest], axis=2).transpose(2, 0, 1).copy()

    def read_variables(self):
        return np.array(self.state, np.float64)

    def write_variables(self, changes):
        for position, value in check_changes(self.variables, changes).items():
            self.state[position] = int(value)

    def snapshot(self):
        return json.dumps([self.state, self.time, self.older.tolist(), self.random.bit_generator.state]).encode()

    def restore(self, snapshot):
        self.state, self.time, older, self.random.bit_generator.state = json.loads(snapshot)
        self.older = np.array(older, np.uint8)
        return self.result()

    def close(self):
        pass

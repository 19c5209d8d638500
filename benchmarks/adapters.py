"""The cost of reading another framework's agent: seconds to load and check it, and the time of its outputs.

    python -m benchmarks.adapters

Agents of stable-baselines3 and sb3-contrib with untrained weights. The checks are those of ``weakspot check-agent`` that do
not play. Framework and adapter compute the outputs for the same 64 observations in turn, with one thread; medians of the
rounds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from sb3_contrib import QRDQN
from stable_baselines3 import A2C, DQN

from lab.command import run_command
from lab.frameworks import seconds_to_check, time_over_framework
from weakspot import load_agent

PONG = "PongNoFrameskip-v4"


class PongSpaces(gymnasium.Env[np.ndarray, np.int64]):
    """The spaces of Pong."""

    observation_space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(6)


def framework_outputs(model: Any) -> Callable[[torch.Tensor], Any]:
    """The framework's own outputs for a batch of observations."""
    model.policy.set_training_mode(False)
    if isinstance(model, QRDQN):
        return lambda x: model.policy.quantile_net(x).mean(dim=1)
    if isinstance(model, DQN):
        return model.policy.q_net
    return lambda x: model.policy.evaluate_actions(x, torch.zeros(len(x)))


def main() -> None:
    torch.set_num_threads(1)
    record = {}
    spaces = PongSpaces()
    models = [DQN("CnnPolicy", spaces, buffer_size=10), QRDQN("CnnPolicy", spaces, buffer_size=10), A2C("CnnPolicy", spaces)]
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{PONG}.zip"
            model.save(path)
            record[type(model).__name__] = {
                "load_and_check_seconds": round(seconds_to_check(path), 2),
                "answer_over_framework": round(time_over_framework(load_agent(str(path)), framework_outputs(model)), 3),
            }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    run_command(main)

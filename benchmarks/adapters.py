"""What it costs to read another framework's agent: seconds to load and to check it, and its answers against the framework's.

    python -m benchmarks.adapters

Agents of stable-baselines3 and sb3-contrib with weights as they are made.  The checks are those of ``weakspot check-agent``
up to where it plays.  Framework and adapter answer the same 64 observations in turn, one thread; medians of the rounds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np
import torch
from sb3_contrib import QRDQN
from stable_baselines3 import A2C, DQN

from weakspot.agents.base import Agent
from weakspot.agents.load import load_agent
from weakspot.checkup import LAST_BEFORE_PLAY, CheckConfig, check_up
from weakspot.system.process import exit_code

PONG = "PongNoFrameskip-v4"


class Pictures(gymnasium.Env[np.ndarray, np.int64]):
    """The spaces of Pong."""

    observation_space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(6)


def own_answers(model: Any) -> Callable[[torch.Tensor], Any]:
    """What the framework computes of a batch of observations."""
    model.policy.set_training_mode(False)
    if isinstance(model, QRDQN):
        return lambda x: model.policy.quantile_net(x).mean(dim=1)
    if isinstance(model, DQN):
        return model.policy.q_net
    return lambda x: model.policy.evaluate_actions(x, torch.zeros(len(x)))


def over_framework(agent: Agent, own: Callable[[torch.Tensor], Any], rounds: int = 31) -> float:
    """Seconds of the adapter's answer over those of the framework's, the median of the rounds."""
    observation = torch.randint(256, (64, 4, 84, 84), generator=torch.Generator().manual_seed(0)).float()

    def seconds(answer: Callable[[torch.Tensor], Any]) -> float:
        started = time.perf_counter()
        answer(observation)
        return time.perf_counter() - started

    with torch.no_grad():
        seconds(own)
        seconds(agent)
        return median(seconds(agent) / seconds(own) for _ in range(rounds))


def main() -> None:
    torch.set_num_threads(1)
    result = {}
    spaces = Pictures()
    models = [DQN("CnnPolicy", spaces, buffer_size=10), QRDQN("CnnPolicy", spaces, buffer_size=10), A2C("CnnPolicy", spaces)]
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{PONG}.zip"
            model.save(path)
            started = time.perf_counter()
            for finding in check_up(CheckConfig(agent=str(path))):
                if finding.name == LAST_BEFORE_PLAY:
                    break
            result[type(model).__name__] = {
                "load_and_check_seconds": round(time.perf_counter() - started, 2),
                "answer_over_framework": round(over_framework(load_agent(str(path)), own_answers(model)), 3),
            }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""How fast an agent plays in its environment on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch

from weakspot.agents.base import Agent, choose
from weakspot.agents.recurrent import Carried
from weakspot.envs.base import Environment
from weakspot.system.cores import usable_cores

STEPS, SECONDS = 60, 2.0
"""Steps of the environment that are timed, and seconds after which no more are."""
BATCHES = 5
"""Batches of the agent that are timed."""


def measure_pace(agent: Agent, factory: Callable[[], Environment], streams: int) -> float:
    """Decisions a second in ``streams`` environments, which are played by one process for each core.

    The first step and the first batch, which are slower than the others, are not timed.
    """
    environment, generator = factory(), torch.Generator().manual_seed(0)
    step, carried = environment.reset(0), Carried(agent, streams)
    batch = torch.as_tensor(step.observation)[None].to(agent.device, torch.float32).repeat(streams, 1, 1, 1)
    deciding, stepping, actions = list[float](), list[float](), list[Any]()
    with torch.no_grad():
        for _ in range(BATCHES + 1):
            started = time.perf_counter()
            chosen: Any = choose(carried.act(batch), agent.spec, generator, epsilon=1.0)
            deciding.append((time.perf_counter() - started) / streams)
            actions.extend(chosen.tolist())
    while len(stepping) < 2 or (len(stepping) <= STEPS and sum(stepping) < SECONDS):
        started = time.perf_counter()
        step = environment.step(actions[len(stepping) % len(actions)])
        stepping.append(time.perf_counter() - started)
        if step.terminated or step.truncated:
            environment.reset()
    environment.close()
    processes = min(usable_cores(), streams)
    return 1 / (fmean(stepping[1:]) / processes + fmean(deciding[1:]))

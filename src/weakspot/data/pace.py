"""How fast an agent plays in its environment on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean
from typing import Any

import numpy as np
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
    spec, deciding, stepping = environment.spec, list[float](), list[float]()
    while len(stepping) < 2 or (len(stepping) <= STEPS and sum(stepping) < SECONDS):
        rows = np.arange(streams if len(deciding) <= BATCHES else 1)
        batch = torch.as_tensor(step.observation)[None].to(agent.device, torch.float32).repeat(len(rows), 1, 1, 1)
        entries = step.entries[None].repeat(len(rows), axis=0)
        carried.see(entries, rows)
        allowed = spec.allowed(entries)
        started = time.perf_counter()
        with torch.no_grad():
            chosen: Any = choose(carried.act(batch, rows), agent.spec, generator, 1.0, allowed)
        if len(rows) == streams:
            deciding.append((time.perf_counter() - started) / streams)
        started = time.perf_counter()
        step = environment.step(chosen.tolist()[0])
        stepping.append(time.perf_counter() - started)
        if step.terminated or step.truncated:
            step = environment.reset()
    environment.close()
    processes = min(usable_cores(), streams)
    return 1 / (fmean(stepping[1:]) / processes + fmean(deciding[1:]))

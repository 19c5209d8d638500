"""Agents of other frameworks: loading and checking them, and their outputs against the framework's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from weakspot.agents.base import Agent
from weakspot.checkup import LAST_BEFORE_PLAY, CheckConfig, check_up


def seconds_to_check(path: Path) -> float:
    """Seconds to load an agent and to do the checks of ``weakspot check-agent`` that do not play."""
    started = time.perf_counter()
    for finding in check_up(CheckConfig(agent=str(path))):
        if finding.name == LAST_BEFORE_PLAY:
            break
    return time.perf_counter() - started


def time_over_framework(agent: Agent, framework: Callable[[torch.Tensor], object], rounds: int = 31) -> float:
    """The time of an agent's outputs for 64 observations, divided by the framework's; the median of the rounds."""
    observation = torch.randint(256, (64, 4, 84, 84), generator=torch.Generator().manual_seed(0)).float()

    def seconds(outputs: Callable[[torch.Tensor], object]) -> float:
        started = time.perf_counter()
        outputs(observation)
        return time.perf_counter() - started

    with torch.no_grad():
        seconds(framework)
        seconds(agent)
        return median(seconds(agent) / seconds(framework) for _ in range(rounds))

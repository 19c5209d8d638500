"""How fast states are collected, and how fast the agent plays without collecting."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from ale_py.vector_env import AtariVectorEnv

from weakspot.agents.base import Agent, choose
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.games import resolve_game


def bare_decisions_per_second(agent: Agent, game: str, *, streams: int, decisions: int, threads: int = 2) -> float:
    """Decisions per second of ``AtariVectorEnv`` and the agent alone."""
    environments = AtariVectorEnv(resolve_game(game), streams, num_threads=threads)
    generator = torch.Generator().manual_seed(0)
    observations, _ = environments.reset(seed=0)
    start = time.perf_counter()
    for _ in range(decisions // streams):
        with torch.inference_mode():
            output = agent(torch.from_numpy(observations).to(agent.device, torch.float32))
        observations, *_ = environments.step(choose(output, agent.spec, generator, 0.1).numpy())
    seconds = time.perf_counter() - start
    environments.close()
    return decisions // streams * streams / seconds


def collected_decisions_per_second(
    agent: Agent, game: str, *, streams: int, decisions: int, workers: int | None = None
) -> float:
    """Decisions per second of :func:`weakspot.data.collect.collect` into a temporary folder.

    The clock starts after the first decision, when the ROMs are loaded, as it does for the bare loop, and stops when
    the last shard is on the disk.
    """
    config = CollectConfig(frames=decisions, streams=streams)
    started: list[float] = []

    def record_start(done: int, total: int) -> None:
        if not started:
            started.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        collect(agent, lambda: AtariEnvironment(AtariConfig(game)), config, Path(folder) / "states", record_start, workers)
        return (config.steps - 1) * streams / (time.perf_counter() - started[0])

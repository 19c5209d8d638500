"""Collecting states against the least that playing can cost: ale-py's own vector environment and the agent's answer.

    python -m benchmarks.collect --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors --game SeaquestNoFrameskip-v4

Both play the same number of environments, in turn, several rounds; the medians are compared.  Collecting also makes and
stores colour frames, snapshots and memory, which the bare loop does not.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
import tyro
from ale_py.vector_env import AtariVectorEnv

from weakspot.agents.base import Agent, choose
from weakspot.agents.load import load_agent
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.games import resolve_game
from weakspot.system.process import exit_code


def bare_loop(agent: Agent, game: str, *, streams: int, decisions: int, threads: int = 2) -> float:
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


def real_collect(agent: Agent, game: str, *, streams: int, decisions: int, workers: int | None = None) -> float:
    """Decisions per second of :func:`weakspot.data.collect.collect` into a temporary folder.

    The clock starts after the first decision, when the ROMs are loaded, as it does for the bare loop, and stops when
    the last shard is on the disk.
    """
    config = CollectConfig(frames=decisions, streams=streams)
    started: list[float] = []

    def note_start(done: int, total: int) -> None:
        if not started:
            started.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        collect(agent, lambda: AtariEnvironment(AtariConfig(game)), config, Path(folder) / "states", note_start, workers)
        return (config.steps - 1) * streams / (time.perf_counter() - started[0])


def measure(
    agent: Agent, game: str, *, streams: int = 10, decisions: int = 10_000, rounds: int = 7, torch_threads: int = 1
) -> dict[str, float]:
    """Medians over interleaved rounds.

    Returns:
        ``collect`` and ``bare`` in decisions per second, and ``collect_ratio``, the median of their ratios round by
        round.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(torch_threads)
    try:
        bare_loop(agent, game, streams=streams, decisions=20 * streams)  # warms up
        pairs = []
        for _ in range(rounds):
            bare = bare_loop(agent, game, streams=streams, decisions=decisions)
            pairs.append((real_collect(agent, game, streams=streams, decisions=decisions), bare))
    finally:
        torch.set_num_threads(before)
    return {
        "collect": median(collected for collected, _ in pairs),
        "bare": median(bare for _, bare in pairs),
        "collect_ratio": median(collected / bare for collected, bare in pairs),
    }


def main(agent: str, game: str, streams: int = 10, decisions: int = 10_000, rounds: int = 7, torch_threads: int = 1) -> None:
    """Measures and prints JSON.

    Args:
        agent: what ``load_agent`` takes: a name, or a path of weights.
        game: id of the environment.
        streams: environments side by side.
        decisions: of each round.
        rounds: how many.
        torch_threads: threads of the agent's network, one in a run of the pipeline.
    """
    loaded = load_agent(agent, environment=game)
    told = measure(loaded, game, streams=streams, decisions=decisions, rounds=rounds, torch_threads=torch_threads)
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: tyro.cli(main)))

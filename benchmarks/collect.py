"""Speed of collecting states, compared with playing alone: ale-py's own vector environment and the agent.

    python -m benchmarks.collect --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors --game SeaquestNoFrameskip-v4

Both play the same number of environments, in turn, for several rounds; medians are compared. Collecting also makes and
stores colour frames, snapshots and memory, which the bare loop does not.
"""

from __future__ import annotations

import json
from statistics import median

import torch
import tyro

from lab.collecting import bare_decisions_per_second, collected_decisions_per_second
from lab.command import run_command
from weakspot import Agent, load_agent


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
        bare_decisions_per_second(agent, game, streams=streams, decisions=20 * streams)  # warms up
        pairs = []
        for _ in range(rounds):
            bare = bare_decisions_per_second(agent, game, streams=streams, decisions=decisions)
            collected = collected_decisions_per_second(agent, game, streams=streams, decisions=decisions)
            pairs.append((collected, bare))
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
        streams: number of environments.
        decisions: per round, all environments together.
        rounds: number of rounds.
        torch_threads: threads of the agent's network; a run of the pipeline uses one.
    """
    loaded = load_agent(agent, environment=game)
    record = measure(loaded, game, streams=streams, decisions=decisions, rounds=rounds, torch_threads=torch_threads)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    run_command(lambda: tyro.cli(main))

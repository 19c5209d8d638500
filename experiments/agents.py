"""The table of agents: the training of each, its score, and the score of random play.

    python -m experiments.agents --output docs/agents --page docs/agents.md

Agents and random play are measured on the same seeds, which were not used before. One action in a hundred of a double DQN
is random: the emulator is deterministic, and without random actions the games would differ only in how long each waits at
the start. Actor-critics sample their actions. Intervals are 95 % bootstrap intervals of the mean. Scores in
``agents.json`` are reused as long as the agent's file does not change, and are written after every agent.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lab import intervals, page
from lab.agents import Play, agent_facts, agent_files, scores_of_agent, shipped_agents
from lab.arguments import at_least
from lab.command import run_command, say
from lab.page import interval, replace_table
from lab.records import digest_of, earlier_record, package_versions, save_record

TABLE = "the table of agents"
SEED = 1_700_000_000
"""Of the first game."""
EPSILON = {"dueling-dqn": 0.01, "actor-critic": 0.0}
"""Share of random actions, by the kind of agent."""
FOLDER = Path(__file__).with_name("agents")
"""Folder of the agents that only the experiments need."""

Rows = dict[tuple[str, int], dict[str, Any]]
"""Rows of the table by the digest of the agent's file and the number of games."""


def files() -> list[Path]:
    """All agents: those that ship with weakspot, and those of the experiments."""
    return [*shipped_agents(), *agent_files(FOLDER)]


def measure(path: Path, games: int = 20, play: Play | None = None) -> dict[str, Any]:
    """The row of the agent in a file; ``play`` replaces the function that plays a policy."""
    options = {"play": play} if play else {}
    scores, random = scores_of_agent(path, games, SEED, EPSILON, **options)
    facts, generator = agent_facts(path), np.random.default_rng(0)
    return {
        "digest": digest_of(path),
        **{name: facts[name] for name in ("environment", "algorithm", "network", "decisions")},
        **{name: facts[name] for name in ("starts_from", "cpu_hours", "megabytes")},
        "games": games,
        "different_scores": len(set(scores.tolist())),
        "score": intervals.mean(scores, generator),
        "random": intervals.mean(random, generator),
        "ahead": intervals.mean_difference(scores, random, generator),
        "scores": scores.tolist(),
        "scores_of_random_play": random.tolist(),
        "score_on_the_card": facts["score_on_the_card"],
        "command": facts["command"],
    }


def table(entries: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    trained = ("algorithm, network", "decisions of the exported policy", "CPU hours of the training")
    lines = [
        (
            f"`{entry['agent']}`" + ("" if entry["ships"] else " (repository only)"),
            entry["environment"],
            f"{entry['algorithm']}, {entry['network']}",
            f"{entry['decisions']:,}" + (" and earlier phases" if entry["cpu_hours"] is None else ""),
            "not recorded" if entry["cpu_hours"] is None else f"{entry['cpu_hours']:.1f}",
            str(entry["megabytes"]),
            interval(entry["score"]),
            interval(entry["random"]),
            f"{entry['ahead'][1]:,.1f}",
        )
        for entry in entries
    ]
    return page.table(("agent", "game", *trained, "MB", "score", "random play", "ahead by at least"), lines)


def entries(digests: dict[Path, str], rows: Rows, games: int) -> list[dict[str, Any]]:
    """The rows measured so far, each with the name of its file and whether the agent ships with weakspot."""
    measured = [(path, rows.get((digest, games))) for path, digest in digests.items()]
    return [{"agent": path.stem, "ships": path.parent != FOLDER, **row} for path, row in measured if row]


def earlier_rows(file: Path, settings: dict[str, Any]) -> Rows:
    """The rows in a file; none if they were measured with other seeds or versions."""
    record = earlier_record(file)
    try:
        rows = {
            (entry["digest"], entry["games"]): {
                name: value for name, value in entry.items() if name not in ("agent", "ships")
            }
            for entry in record.pop("agents", [])
        }
    except (KeyError, AttributeError, TypeError):
        return {}
    return rows if record == settings else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/agents"))
    parser.add_argument("--games", type=at_least(2), default=20, help="per agent")
    parser.add_argument("--page", type=Path, help="Markdown page whose table is replaced")
    arguments = parser.parse_args()
    file = arguments.output / "agents.json"
    versions = package_versions("ale-py", "numpy", "embreex")
    settings = {"versions": versions, "first_seed": SEED, "share_of_random_actions": EPSILON}
    rows, digests = earlier_rows(file, settings), {path: digest_of(path) for path in files()}
    for path, digest in digests.items():
        if (digest, arguments.games) not in rows:
            rows[digest, arguments.games] = measure(path, arguments.games)
            save_record(file, {**settings, "agents": entries(digests, rows, arguments.games)})
        row = rows[digest, arguments.games]
        say(f"{path.stem}: {interval(row['score'])}, random play {interval(row['random'])}")
    measured = entries(digests, rows, arguments.games)
    save_record(file, {**settings, "agents": measured})
    if arguments.page:
        replace_table(arguments.page, TABLE, table(measured))
    print(table(measured))


if __name__ == "__main__":
    run_command(main)

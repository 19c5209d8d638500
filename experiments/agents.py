"""The table of agents: what each was trained by and for how long, its score, and that of random play beside it.

    python -m experiments.agents --output docs/agents --page docs/agents.md

Agents and random play are measured here, on the same seeds, which no game before was played from.  What a double DQN does
is replaced by a random action once in a hundred times: the emulator knows no chance, and however many games were played,
they would otherwise be a few dozen different ones, by how long each waits at the start.  Actor-critics draw their actions.
Intervals are those of the mean, by the bootstrap, at 95 %.  The scores that ``agents.json`` holds of a file that is the same
stand, and those of files that are still to come are kept while others are played.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lab import page
from lab.arguments import at_least
from lab.page import interval, put_into
from weakspot.agents import zoo
from weakspot.agents.formats.card import read_card
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.weights import read_weights
from weakspot.intervals import bootstrap_difference, bootstrap_mean
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.system.progress import say
from weakspot.system.provenance import file_digest
from weakspot.training.arenas import arena_of
from weakspot.training.evaluate import evaluate, player
from weakspot.training.start import spent

TABLE = "the table of agents"
SEED = 1_700_000_000
"""Of the first game."""
EPSILON = {"dueling-dqn": 0.01, "actor-critic": 0.0}
"""Share of random actions, by the kind of the agent."""
OWN = Path(__file__).with_name("agents")
"""Where the agents stand that only the experiments need."""


def files() -> list[Path]:
    """All agents: those that ship, and those of the experiments."""
    return [zoo.path(name) for name in zoo.names()] + sorted(OWN.glob(f"*{zoo.SUFFIX}"))


def at_random(observations: np.ndarray) -> np.ndarray:
    """Does nothing; every action is replaced by a random one."""
    return np.zeros(len(observations), np.int64)


def row(path: Path, games: int = 20, play: Callable[..., list[float]] = evaluate) -> dict[str, Any]:
    """What the table says of the agent in a file; ``play`` measures a policy's scores."""
    card = read_card(read_weights(path)[1], str(path))
    agent, settings = load_agent(str(path)), card.training["settings"]
    arena, longest = arena_of(settings["game"]), settings.get("episode_decisions", 27_000)
    act = player(card.kind, lambda seen: agent(seen.float()).scores, agent.device, SEED)
    scores = np.array(play(act, arena, games, SEED, EPSILON[card.kind], longest))
    random = np.array(play(at_random, arena, games, SEED, 1.0, longest))
    generator = np.random.default_rng(0)
    decisions, hours = spent(card.training)
    return {
        "digest": file_digest(path),
        "environment": card.environment,
        "algorithm": card.training["algorithm"],
        "network": card.network,
        "decisions": decisions,
        "starts_from": settings.get("start"),
        "cpu_hours": hours,
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "games": games,
        "different_scores": len(set(scores.tolist())),
        "score": bootstrap_mean(scores, generator),
        "random": bootstrap_mean(random, generator),
        "ahead": bootstrap_difference(scores, random, generator),
        "scores": scores.tolist(),
        "scores_of_random_play": random.tolist(),
        "score_on_the_card": card.score["mean"],
        "command": card.training["command"],
    }


def table(entries: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    trained = ("algorithm, network", "decisions until the policy that was kept", "CPU hours of the training")
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


def entries(there: dict[Path, str], known: dict[tuple[str, int], dict[str, Any]], games: int) -> list[dict[str, Any]]:
    """The rows that are known of the files that are ``there``, by their digests, each with its file's name and whether it
    ships."""
    rows = [(path, known.get((digest, games))) for path, digest in there.items()]
    return [{"agent": path.stem, "ships": path.parent != OWN, **entry} for path, entry in rows if entry]


def measured_before(file: Path, made: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    """The rows that a file holds already, by the digest of the agent's file and the number of games; none if they were made
    with other seeds or versions."""
    try:
        told = json.loads(file.read_text())
        rows_there = {
            (entry["digest"], entry["games"]): {
                name: value for name, value in entry.items() if name not in ("agent", "ships")
            }
            for entry in told.pop("agents")
        }
    except (OSError, ValueError, KeyError, AttributeError):
        return {}
    return rows_there if told == made else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/agents"))
    parser.add_argument("--games", type=at_least(2), default=20)
    parser.add_argument("--page", type=Path, help="Markdown whose table is replaced")
    told = parser.parse_args()
    file = make_folder(told.output) / "agents.json"
    versions = {package: importlib.metadata.version(package) for package in ("ale-py", "numpy", "embreex")}
    made = {"versions": versions, "first_seed": SEED, "share_of_random_actions": EPSILON}
    known, there = measured_before(file, made), {path: file_digest(path) for path in files()}
    for path, digest in there.items():
        if (digest, told.games) not in known:
            known[digest, told.games] = row(path, told.games)
            write_json(file, {**made, "agents": entries(there, known, told.games)})
        entry = known[digest, told.games]
        say(f"{path.stem}: {interval(entry['score'])}, random play {interval(entry['random'])}")
    found = entries(there, known, told.games)
    write_json(file, {**made, "agents": found})
    if told.page:
        put_into(told.page, TABLE, table(found))
    print(table(found))


if __name__ == "__main__":
    sys.exit(exit_code(main))

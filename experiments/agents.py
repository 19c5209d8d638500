"""The table of agents: what each was trained by and for how long, its score, and that of random play beside it.

    python -m experiments.agents --output docs/agents --page docs/agents.md

Scores of the agents are those on their cards, from games that nothing was chosen by.  Random play is measured here, from the
same first seeds, as many games.  Intervals are those of the mean, by the bootstrap, at 95 %.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from weakspot.agents import zoo
from weakspot.agents.card import read_card
from weakspot.agents.weights import read_weights
from weakspot.analysis.intervals import bootstrap_difference, bootstrap_mean
from weakspot.cli import exit_code
from weakspot.errors import ConfigError
from weakspot.files import make_folder, write_json, write_text
from weakspot.progress import say
from weakspot.training.arenas import arena_of
from weakspot.training.evaluate import evaluate

START, END = "<!-- the table begins here; it is written by experiments.agents -->", "<!-- the table ends here -->"
OWN = Path(__file__).with_name("agents")
"""Where the agents stand that only the experiments need."""


def files() -> list[Path]:
    """All agents: those that ship, and those of the experiments."""
    return [zoo.path(name) for name in zoo.names()] + sorted(OWN.glob(f"*{zoo.SUFFIX}"))


def at_random(observations: np.ndarray) -> np.ndarray:
    """Does nothing; every action is replaced by a random one."""
    return np.zeros(len(observations), np.int64)


def row(path: Path, play: Callable[..., list[float]] = evaluate) -> dict[str, Any]:
    """What the table says of the agent in a file; ``play`` measures random play."""
    card = read_card(read_weights(path)[1], str(path))
    scores = np.array(card.score["scores"])
    settings = card.training["settings"]
    random = np.array(
        play(
            at_random,
            arena_of(settings["game"]),
            len(scores),
            card.score["first_seed"],
            1.0,
            settings.get("episode_decisions", 27_000),
        )
    )
    generator = np.random.default_rng(0)
    return {
        "agent": path.stem,
        "ships": path.parent != OWN,
        "environment": card.environment,
        "algorithm": card.training["algorithm"],
        "network": card.network,
        "decisions": card.training["policy_steps"],
        "starts_from": settings.get("start"),
        "cpu_hours": card.training.get("cpu_hours"),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "games": len(scores),
        "score": bootstrap_mean(scores, generator),
        "random": bootstrap_mean(random, generator),
        "ahead": bootstrap_difference(scores, random, generator),
        "command": card.training["command"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| agent | game | algorithm, network | decisions of the policy that was kept | CPU hours of the training | MB "
        "| score | random play | ahead by at least |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in rows:
        cells = [
            f"`{entry['agent']}`" + ("" if entry["ships"] else " (repository only)"),
            entry["environment"],
            f"{entry['algorithm']}, {entry['network']}",
            f"{entry['decisions']:,}" + (" after earlier phases" if entry["starts_from"] else ""),
            "not recorded" if entry["cpu_hours"] is None else f"{entry['cpu_hours']:.1f}",
            str(entry["megabytes"]),
            _interval(entry["score"]),
            _interval(entry["random"]),
            f"{entry['ahead'][1]:,.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(told: tuple[float, float, float]) -> str:
    mean, low, high = told
    return f"{mean:,.1f} ({low:,.1f} to {high:,.1f})"


def put_into(page: Path, content: str) -> None:
    """Replaces the table in a page.

    Raises:
        ConfigError: the page has no place for it.
    """
    text = page.read_text()
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ConfigError(f"{page} has no place for the table", expected=f"the lines {START} and {END}")
    before, rest = text.split(START)
    write_text(page, f"{before}{START}\n\n{content}\n\n{END}{rest.split(END)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/agents"))
    parser.add_argument("--page", type=Path, help="Markdown whose table is replaced")
    told = parser.parse_args()
    make_folder(told.output)
    rows = []
    for path in files():
        rows.append(row(path))
        say(f"{rows[-1]['agent']}: {_interval(rows[-1]['score'])}, random play {_interval(rows[-1]['random'])}")
    versions = {package: importlib.metadata.version(package) for package in ("ale-py", "numpy")}
    write_json(told.output / "agents.json", {"versions": versions, "agents": rows})
    if told.page:
        put_into(told.page, table(rows))
    print(table(rows))


if __name__ == "__main__":
    sys.exit(exit_code(main))

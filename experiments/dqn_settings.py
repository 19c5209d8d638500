"""What the double DQN learns in the same processor time with other update frequencies, networks and n-step returns.

    python -m experiments.dqn_settings --game boxing --cpu-minutes 20 --seeds 0 1 --output docs/agents

Each variant first plays a few thousand decisions to measure its pace, and is then trained for as many decisions as fit
into the budget, so that exploration and learning rate follow their whole schedules. Trainings continue after a kill and
are not repeated. Scores are of games with fresh seeds, played by the running average of the weights at the end.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lab import intervals
from lab.agent_training import double_dqn_config, scale_schedules, seconds_per_decision, trained_scores
from lab.arguments import at_least, positive
from lab.command import run_command, say
from lab.records import save_record

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "half the updates": {"envs": 16},
    "twice the updates": {"updates": 2},
    "batches of 32": {"batch_size": 32},
    "network compact": {"network": "compact"},
    "network nature": {"network": "nature"},
    "1 step": {"n_steps": 1},
    "5 steps": {"n_steps": 5},
}
"""Settings of each variant that differ from the defaults of ``weakspot train-agent double-dqn``."""
PACE_DECISIONS = 2_000
"""Decisions with updates over which the pace is measured."""
FRESH_SEEDS = 40_000_000
"""First seed of the games that are scored."""


def train_variant(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One training of a variant, and its scores."""
    folder = arguments.folder / f"{arguments.game}-{arguments.cpu_minutes:g}-{name.replace(' ', '-')}-{seed}"
    config = double_dqn_config(arguments.game, seed, arguments.longest, **VARIANTS[name])
    pace = seconds_per_decision(config, folder, PACE_DECISIONS)
    steps = max(int(60 * arguments.cpu_minutes / pace), 2 * PACE_DECISIONS)
    config = scale_schedules(config, steps)
    scores, seconds = trained_scores(
        config, folder / "training", arguments.episodes, FRESH_SEEDS + 1_000 * seed,
        lambda line: say(f"{name}, seed {seed}: {line}"),
    )  # fmt: skip
    minutes = round(seconds / 60, 2)
    return {"seed": seed, "decisions": steps, "cpu_minutes": minutes, "scores": scores, "used": asdict(config)}


def mean_scores(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The mean score of each variant over the games of all seeds, with its interval."""
    generator = np.random.default_rng(0)
    return {
        name: intervals.mean(np.concatenate([np.array(run["scores"]) for run in runs_of_variant]), generator)
        for name, runs_of_variant in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="boxing")
    parser.add_argument("--cpu-minutes", type=positive, default=20.0, help="of each training")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--episodes", type=at_least(1), default=20, help="games per score")
    parser.add_argument("--longest", type=at_least(1), default=6_000, help="decisions after which a game is cut")
    parser.add_argument("--folder", type=Path, default=Path("runs/dqn-settings"), help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="folder of the numbers; default: --folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.variants}
    for seed in arguments.seeds:
        for name in arguments.variants:
            runs[name].append(train_variant(name, seed, arguments))
    record = {
        "settings": {
            "game": arguments.game,
            "cpu_minutes": arguments.cpu_minutes,
            "episodes": arguments.episodes,
            "torch": torch.__version__,
        },
        "variants": {name: VARIANTS[name] for name in arguments.variants},
        "runs": runs,
        "score": mean_scores(runs),
    }
    save_record((arguments.output or arguments.folder) / f"dqn-settings-{arguments.game}.json", record)
    for name, (mean, low, high) in record["score"].items():
        say(f"{name:<20} {mean:8.1f} ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    run_command(main)

"""What the double DQN learns in the same processor time with other update frequencies, networks and n-step returns.

    python -m experiments.dqn_settings --game boxing --cpu-minutes 20 --seeds 0 1 --output docs/agents

Each variant first plays a few thousand decisions, which tells its pace, and is then trained for as many decisions as fit
into the budget, so that exploration and learning rate run their whole course in each.  Every training is gone on with after
a kill and not done again.  Scores are of games with fresh seeds, by the running average of the weights as it stands at the
end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.learning import curve
from lab.arguments import at_least, positive
from weakspot.intervals import bootstrap_mean
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.system.progress import say
from weakspot.training.algorithms import ALGORITHMS
from weakspot.training.arenas import arena_of
from weakspot.training.checkpoint import LAST, read_checkpoint
from weakspot.training.config import DoubleDQNConfig
from weakspot.training.evaluate import evaluate, greedy
from weakspot.training.train import learn

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
"""What differs from the defaults of ``weakspot train-agent double-dqn``."""
PACED = 2_000
"""Decisions with updates over which the pace is measured."""
EXPLORATION, FILLING = 0.2, 0.025
"""Shares of the decisions over which exploration falls, and before updates begin."""
FRESH_SEEDS = 40_000_000


def paced(config: DoubleDQNConfig, folder: Path) -> float:
    """Processor seconds a decision."""
    told = folder / "pace.json"
    if not told.exists():
        short = replace(
            config,
            steps=2 * PACED,
            learning_starts=PACED // 2,
            evaluate_every=PACED,
            evaluation_episodes=1,
            episode_decisions=1,
        )
        shutil.rmtree(folder / "pace", ignore_errors=True)  # what a kill left would begin with a pause in learning
        learn(short, folder / "pace", lambda line: None)
        first, *_, last = curve(folder / "pace")
        pace = (last["cpu_seconds"] - first["cpu_seconds"]) / (last["step"] - first["step"])
        write_json(told, {"seconds_per_decision": pace})
    return float(json.loads(told.read_text())["seconds_per_decision"])


def stretched(config: DoubleDQNConfig, steps: int) -> DoubleDQNConfig:
    """Settings whose course takes so many decisions."""
    return replace(
        config,
        steps=steps,
        exploration_steps=max(1, int(EXPLORATION * steps)),
        learning_starts=min(config.learning_starts, int(FILLING * steps)),
        evaluate_every=max(1, steps // 4),
        evaluation_episodes=2,
    )


def trained(name: str, seed: int, told: argparse.Namespace) -> dict[str, Any]:
    """One training of a variant, and its score."""
    folder = make_folder(told.folder / f"{told.game}-{told.cpu_minutes:g}-{name.replace(' ', '-')}-{seed}")
    config = DoubleDQNConfig(game=told.game, seed=seed, episode_decisions=told.longest, **VARIANTS[name])
    steps = max(int(60 * told.cpu_minutes / paced(config, folder)), 2 * PACED)
    config = stretched(config, steps)
    model = learn(config, folder / "training", lambda line: say(f"{name}, seed {seed}: {line}"))
    algorithm = ALGORITHMS["double-dqn"]
    network = algorithm.kept(model)
    network.load_state_dict(read_checkpoint(folder / "training" / LAST)["kept"])  # what a run that goes on would find
    act = greedy(lambda observations: algorithm.answers(network, observations))
    first = FRESH_SEEDS + 1_000 * seed
    scores = evaluate(act, arena_of(told.game), told.episodes, first, algorithm.epsilon[0], told.longest)
    minutes = curve(folder / "training")[-1]["cpu_seconds"] / 60
    return {"seed": seed, "decisions": steps, "cpu_minutes": round(minutes, 2), "scores": scores, "used": asdict(config)}


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The mean score of each variant over all its seeds' games, with its interval."""
    generator = np.random.default_rng(0)
    return {
        name: bootstrap_mean(np.concatenate([np.array(run["scores"]) for run in each]), generator)
        for name, each in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="boxing")
    parser.add_argument("--cpu-minutes", type=positive, default=20.0, help="of each training")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--episodes", type=at_least(1), default=20, help="of each measurement")
    parser.add_argument("--longest", type=at_least(1), default=6_000, help="decisions after which a game is cut")
    parser.add_argument("--folder", type=Path, default=Path("runs/dqn-settings"), help="of the trainings")
    parser.add_argument("--output", type=Path, help="where the numbers go; the folder by default")
    told = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in told.variants}
    for seed in told.seeds:
        for name in told.variants:
            runs[name].append(trained(name, seed, told))
    settings = {"game": told.game, "cpu_minutes": told.cpu_minutes, "episodes": told.episodes, "torch": torch.__version__}
    found = {
        "settings": settings,
        "variants": {name: VARIANTS[name] for name in told.variants},
        "runs": runs,
        "score": summary(runs),
    }
    write_json(make_folder(told.output or told.folder) / f"dqn-settings-{told.game}.json", found)
    for name, (mean, low, high) in found["score"].items():
        say(f"{name:<20} {mean:8.1f} ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""Trainings of agents, as ``weakspot train-agent`` does them, and their learning curves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lab.records import read_record, save_record
from weakspot.system.files import make_folder
from weakspot.training.algorithms import ALGORITHMS
from weakspot.training.arenas import arena_of
from weakspot.training.checkpoint import LAST, read_checkpoint
from weakspot.training.config import DoubleDQNConfig, TrainingConfig
from weakspot.training.evaluate import evaluate, greedy
from weakspot.training.train import learn, train

Points = list[dict[str, float]]
"""A learning curve: the decisions (``step``), processor seconds and mean score at each evaluation."""
Say = Callable[[str], None]

EXPLORATION_SHARE, WARM_UP_SHARE = 0.2, 0.025
"""Shares of a training's decisions during which epsilon decays, and before updates begin."""


def algorithm_names() -> tuple[str, ...]:
    """The names of the algorithms."""
    return tuple(ALGORITHMS)


def algorithm_title(name: str) -> str:
    """The name of an algorithm for figures."""
    return ALGORITHMS[name].title


def evaluated_config(
    algorithm: str, game: str, steps: int, seed: int, evaluations: int, episodes: int, longest: int
) -> TrainingConfig:
    """Default settings of an algorithm, evaluated ``evaluations`` times on ``episodes`` games of at most ``longest``
    decisions."""
    return ALGORITHMS[algorithm].config(
        game=game, steps=steps, seed=seed, evaluate_every=max(1, steps // evaluations), evaluation_episodes=episodes,
        final_episodes=episodes, episode_decisions=longest,
    )  # fmt: skip


def trained_curve(config: TrainingConfig, folder: Path, say: Say) -> tuple[Points, dict[str, Any]]:
    """Trains an agent in a folder, unless that is done, and returns its learning curve and its settings without the seed."""
    train(config, folder, say)
    return learning_curve(folder), {name: value for name, value in asdict(config).items() if name != "seed"}


def learning_curve(folder: Path) -> Points:
    """The learning curve of the training in a folder."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in ("step", "cpu_seconds", "score")} for line in lines]


def double_dqn_config(game: str, seed: int, longest: int, **settings: Any) -> DoubleDQNConfig:
    """Settings of the double DQN whose games are truncated after ``longest`` decisions."""
    return DoubleDQNConfig(game=game, seed=seed, episode_decisions=longest, **settings)


def seconds_per_decision(config: DoubleDQNConfig, folder: Path, decisions: int) -> float:
    """Processor seconds per decision, measured once on a short training with ``decisions`` decisions with updates."""
    file = folder / "pace.json"
    if not file.exists():
        short = replace(
            config, steps=2 * decisions, learning_starts=decisions // 2, evaluate_every=decisions, evaluation_episodes=1,
            episode_decisions=1,
        )  # fmt: skip
        shutil.rmtree(folder / "pace", ignore_errors=True)  # a resumed training would start with a pause in learning
        learn(short, folder / "pace", lambda line: None)
        first, *_, last = learning_curve(folder / "pace")
        pace = (last["cpu_seconds"] - first["cpu_seconds"]) / (last["step"] - first["step"])
        save_record(file, {"seconds_per_decision": pace})
    return float(read_record(file)["seconds_per_decision"])


def scale_schedules(config: DoubleDQNConfig, steps: int) -> DoubleDQNConfig:
    """The settings with schedules that span ``steps`` decisions."""
    return replace(
        config, steps=steps, exploration_steps=max(1, int(EXPLORATION_SHARE * steps)),
        learning_starts=min(config.learning_starts, int(WARM_UP_SHARE * steps)), evaluate_every=max(1, steps // 4),
        evaluation_episodes=2,
    )  # fmt: skip


def trained_scores(
    config: DoubleDQNConfig, folder: Path, episodes: int, first_seed: int, say: Say
) -> tuple[list[float], float]:
    """Trains a double DQN in a folder, unless that is done, and plays with the running average of its weights.

    Returns:
        The scores, and the processor seconds of the training.
    """
    model = learn(config, make_folder(folder), say)
    algorithm = ALGORITHMS["double-dqn"]
    network = algorithm.exported_network(model)
    network.load_state_dict(read_checkpoint(folder / LAST)["kept"])  # the weights that a resumed training would have
    policy = greedy(lambda observations: algorithm.action_scores(network, observations))
    arena, longest = arena_of(config.game, config.pedestrians), config.episode_decisions
    scores = evaluate(policy, arena, episodes, first_seed, algorithm.epsilon[0], longest)
    return scores, learning_curve(folder)[-1]["cpu_seconds"]

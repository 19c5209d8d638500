"""The end of a training: selects the policy, measures its score, and exports the agent file.

Scores fluctuate, so the last policy and the one with the best evaluation are candidates.  Both are measured on the same
selection seeds, and the better one is selected.  Its score on the card is then measured on held-out seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from weakspot.agents.formats.card import KINDS, Card, export
from weakspot.agents.tensors.weights import preserve_random_state
from weakspot.errors import RunError, WeakspotError
from weakspot.system.compute import resolve
from weakspot.system.progress import progress_bar
from weakspot.training.algorithms import ALGORITHMS, Algorithm, algorithm_of
from weakspot.training.arenas import arena_of
from weakspot.training.checkpoint import BEST, LAST, METRICS, OF_A_POLICY, read_checkpoint
from weakspot.training.config import DoubleDQNConfig, TrainingConfig, command_of
from weakspot.training.evaluate import evaluate, greedy, make_policy
from weakspot.training.start import stored_start

SELECTION_SEEDS, FINAL_SEEDS = 1_600_000_000, 1_500_000_000
"""First seeds of the games for the selection, and of those for the final score.  No other games use them: the seeds of
trainings and of their evaluations are smaller.  Each card records the seeds of its scores."""

BUDGET = (
    "cpu_hours, with the settings of this training.  The paper (section 4.1) trains a double DQN for two million steps "
    "with gamma 0.95."
)
_PACKAGES = ("torch", "stable-baselines3", "gymnasium", "numpy")


@dataclass(frozen=True)
class Policy:
    """A candidate for the exported agent.

    Attributes:
        which: ``last`` or ``best evaluation``.
        steps: number of decisions that it was trained for.
        weights: of its network in an agent file, rounded to float16.
    """

    which: str
    steps: int
    weights: Mapping[str, Tensor]


def finish(folder: Path, say: Callable[[str], None] = print) -> Path:
    """Selects the last policy or the best one, measures it, and writes ``agent.safetensors`` with its card.

    Args:
        folder: of a training, with ``config.json``, ``checkpoint.pt`` and, if a policy was evaluated, ``best.pt``.
        say: called with each measurement as a line of text.

    Returns:
        The agent file.  The agent is named after the game and the algorithm, such as ``pong-double-dqn``.  The command on
        its card has all settings, and only the name of the folder, without the path on this machine.

    Raises:
        RunError: the folder contains no training with a checkpoint.
    """
    config = read_config(folder)
    which = algorithm_of(config)
    algorithm, arena = ALGORITHMS[which], arena_of(config.game, config.pedestrians)
    with preserve_random_state():
        network = KINDS[algorithm.kind].network(len(arena.actions), config.network, arena.observation_shape)
    last = read_checkpoint(folder / LAST)
    candidates, threads = _candidates(last, folder, algorithm), torch.get_num_threads()
    settings = _portable_settings(config)

    def action_scores(observations: Tensor) -> Tensor:
        output = cast(Any, network)(observations)
        return cast(Tensor, output[0] if isinstance(output, tuple) else output)

    def measured(policy: Policy, seeds: int, act: Callable[[np.ndarray], np.ndarray], epsilon: float) -> dict[str, Any]:
        network.load_state_dict(dict(policy.weights))
        first = seeds + 1_000 * config.seed
        with progress_bar("measure") as progress:
            scores = evaluate(act, arena, config.final_episodes, first, epsilon, config.episode_decisions, progress)
        return {**_summary(scores), "first_seed": first, "epsilon": epsilon}

    def measured_as_deployed(policy: Policy, seeds: int) -> dict[str, Any]:
        return measured(
            policy, seeds, make_policy(algorithm.kind, action_scores, "cpu", seeds + config.seed), algorithm.epsilon[1]
        )

    chosen, selection = candidates[0], {}
    for policy in candidates if len(candidates) > 1 else []:
        selection[policy.which] = {**measured_as_deployed(policy, SELECTION_SEEDS), "steps": policy.steps}
        say(f"{policy.which} policy, after {policy.steps:,} decisions: {selection[policy.which]['mean']:.1f}")
        if selection[policy.which]["mean"] > selection[chosen.which]["mean"]:
            chosen = policy
    final, best_action = measured_as_deployed(chosen, FINAL_SEEDS), measured(chosen, FINAL_SEEDS, greedy(action_scores), 0.0)
    say(f"{chosen.which} policy selected; score on held-out seeds: {final['mean']:.1f} +- {final['std']:.1f}")
    card = Card(
        name=f"{arena.name}-{which}",
        environment=arena.environment,
        network=config.network,
        actions=arena.actions,
        observation_shape=arena.observation_shape,
        preprocessing=arena.preprocessing,
        training={
            "algorithm": algorithm.title,
            "command": command_of(which, type(config)(**settings), f"runs/{folder.name}", threads),
            "steps": config.steps,
            "cpu_hours": round(float(last["cpu_seconds"]) / 3600, 2),
            "updates": int(last["counters"]["_n_updates"]),
            "resumed_at": last["resumed_at"],
            "seed": config.seed,
            "policy": chosen.which,
            "policy_steps": chosen.steps,
            "settings": settings,
            "start": stored_start(folder),
            "evaluations": _evaluations(folder),
            "budget": BUDGET,
        },
        score={
            **final,
            "episodes": config.final_episodes,
            "greedy": best_action,
            "selection": selection,
            "protocol": "Unclipped scores of full games, weights rounded to float16.  The policy was selected from "
            "the last one and the one with the best evaluation by the games under 'selection'; the scores "
            "here are from held-out seeds, not used for the selection.",
        },
        versions={package: version(package) for package in (*_PACKAGES, *arena.packages)},
        kind=algorithm.kind,
    )
    path = folder / "agent.safetensors"
    export(chosen.weights, card, path)
    return path


def _portable_settings(config: TrainingConfig) -> dict[str, Any]:
    """The settings without anything specific to this machine.

    ``auto`` precision is replaced by the number format that it resolves to.  Of a ``start`` file outside the current folder,
    only the file name and the name of its folder are kept.
    """
    settings = asdict(config)
    if config.start is not None and (Path(config.start).is_absolute() or ".." in Path(config.start).parts):
        settings["start"] = Path("runs", *Path(config.start).parts[-2:]).as_posix()
    if isinstance(config, DoubleDQNConfig):
        settings["precision"] = str(resolve(config.precision, config.device)).removeprefix("torch.")
    return settings


def read_config(folder: Path) -> TrainingConfig:
    """The settings of the training in ``folder``; settings that are not in the file have their defaults.

    Raises:
        RunError: the file is missing or cannot be read.
    """
    settings = stored_settings(folder / "config.json")
    return ALGORITHMS[settings.pop("algorithm")].config(**settings)


def stored_settings(path: Path) -> dict[str, Any]:
    """All settings in a file, and the name of the ``algorithm``.

    Raises:
        RunError: the file cannot be read, or names an unknown algorithm.
    """
    try:
        stored = json.loads(path.read_text())
        name = stored.pop("algorithm")
        return {"algorithm": name, **asdict(ALGORITHMS[name].config(**stored))}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, WeakspotError) as error:
        raise RunError(
            f"cannot read the settings of a training from {path}: {type(error).__name__}: {error}",
            expected=f"the folder of a training by {', '.join(ALGORITHMS)}",
            todo="choose another folder",
        ) from error


def _candidates(checkpoint: Mapping[str, Any], folder: Path, algorithm: Algorithm) -> list[Policy]:
    last = _policy("last", checkpoint, algorithm)
    if not (folder / BEST).exists():
        return [last]
    best = _policy("best evaluation", read_checkpoint(folder / BEST, keys=OF_A_POLICY), algorithm)
    return [last] if best.steps == last.steps else [last, best]


def _evaluations(folder: Path) -> list[tuple[int, float]]:
    """Decisions and mean score of each evaluation of the training; empty if there is no metrics file."""
    metrics = folder / METRICS
    lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    return [(line["step"], line["score"]) for line in lines]


def _policy(which: str, checkpoint: Mapping[str, Any], algorithm: Algorithm) -> Policy:
    weights = {name: tensor.half().float() for name, tensor in algorithm.export_weights(checkpoint["kept"]).items()}
    return Policy(which, int(checkpoint["steps"]), weights)


def _summary(scores: list[float]) -> dict[str, Any]:
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return {"mean": float(np.mean(scores)), "std": spread, "scores": scores}

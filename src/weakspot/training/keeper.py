"""What is done beside a training: evaluations, checkpoints, the progress."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from weakspot.errors import TrainingError
from weakspot.system.files import storage_errors
from weakspot.system.progress import Tell
from weakspot.training.algorithms import ALGORITHMS, algorithm_of
from weakspot.training.arenas import arena_of
from weakspot.training.checkpoint import checkpoint_of, store
from weakspot.training.config import TrainingConfig
from weakspot.training.evaluate import evaluate, player

MINUTES = 3.0
"""By the clock, after which a checkpoint is written between evaluations."""


class Keeper(BaseCallback):
    """Evaluates and stores a checkpoint every ``evaluate_every`` decisions, and stores one every ``MINUTES``."""

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        seconds_before: float,
        resumed_at: list[int],
        say: Callable[[str], None],
        tell: Tell,
    ) -> None:
        super().__init__()
        self.config, self.folder, self.say, self.tell = config, folder, say, tell
        self.algorithm, self.arena = ALGORITHMS[algorithm_of(config)], arena_of(config.game)
        self.started, self.stored = time.process_time() - seconds_before, time.monotonic()
        self.resumed_at = resumed_at
        self.next_evaluation = self._following(resumed_at[-1] if resumed_at else 0)
        self.kept_at = -1

    def _on_rollout_start(self) -> None:
        """Nothing is under way here: what was played has been learnt from."""
        if time.monotonic() - self.stored > 60 * MINUTES:
            self._check_finite()
            self._store(None)

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next_evaluation:
            self.next_evaluation = self._following(self.num_timesteps)
            self.keep()
        self.tell(self.num_timesteps / self.config.steps, f"{self.num_timesteps:,} of {self.config.steps:,} decisions")
        return True

    def _following(self, decisions: int) -> int:
        return (decisions // self.config.evaluate_every + 1) * self.config.evaluate_every

    def keep(self) -> None:
        """Evaluates, then stores the line of metrics, the checkpoint, and the policy if it is the best so far.

        Raises:
            TrainingError: its weights are not finite.
        """
        self._check_finite()
        model, algorithm = self.model, self.algorithm
        network, seed = algorithm.kept(model), 10_000 + self.config.seed
        scores = evaluate(
            player(algorithm.kind, lambda observations: algorithm.answers(network, observations), model.device, seed),
            self.arena,
            self.config.evaluation_episodes,
            seed=seed,
            epsilon=algorithm.epsilon[0],
            most_decisions=self.config.episode_decisions,
        )
        line = {
            "step": model.num_timesteps,
            "updates": model._n_updates,
            "score": float(np.mean(scores)),
            "scores": scores,
            "cpu_seconds": time.process_time() - self.started,
        }
        metrics = self.folder / "metrics.jsonl"
        with storage_errors(metrics), open(metrics, "a") as file:
            file.write(json.dumps(line) + "\n")
        self._store(line["score"])
        self.kept_at = model.num_timesteps
        self.say(f"{model.num_timesteps:>9,} of {self.config.steps:,} decisions   score {line['score']:7.1f}")

    def _store(self, score: float | None) -> None:
        """The checkpoint; with the ``score`` of its policy where it was evaluated."""
        cpu_seconds = time.process_time() - self.started
        store(self.folder, checkpoint_of(self.model, self.algorithm, cpu_seconds, score, self.resumed_at))
        self.stored = time.monotonic()

    def _check_finite(self) -> None:
        if not can_be_kept(self.algorithm.kept(self.model)):
            raise astray(self.num_timesteps)


def can_be_kept(network: nn.Module) -> bool:
    """Whether its weights are finite in an agent file too, which holds float16, whose numbers end at 65,504."""
    return all(bool(torch.isfinite(weights.half()).all()) for weights in network.parameters())


def astray(decisions: int) -> TrainingError:
    """What is said where the weights of a training are no longer numbers that can be kept."""
    return TrainingError(
        f"after {decisions:,} decisions the weights are not finite, or beyond float16",
        expected="a training that does not diverge",
        todo="lower --learning-rate, in another --output; the checkpoint in this one is from before",
    )

"""Evaluations, checkpoints and progress during the training of an agent."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from weakspot.errors import TrainingError
from weakspot.system.metrics import append_metrics
from weakspot.system.progress import ProgressCallback
from weakspot.system.training_loop import Every
from weakspot.training.algorithms import ALGORITHMS, UPDATES, algorithm_of
from weakspot.training.arenas import arena_of
from weakspot.training.checkpoint import METRICS, checkpoint_of, store
from weakspot.training.config import TrainingConfig
from weakspot.training.evaluate import evaluate, make_policy

MINUTES = 3.0
"""Minutes of wall-clock time after which a checkpoint is written between two evaluations."""


class EvaluationCallback(BaseCallback):
    """Evaluates the policy every ``evaluate_every`` decisions, and stores checkpoints.

    A checkpoint is stored with each evaluation, and :data:`MINUTES` after the last checkpoint.

    Args:
        config: the settings.
        folder: of the training.
        seconds_before: processor time of the training before it was resumed.
        resumed_at: decisions after which it has been resumed.
        say: called with each evaluation as a line of text.
        progress: called with the share of the decisions made, and a short text.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        seconds_before: float,
        resumed_at: list[int],
        say: Callable[[str], None],
        progress: ProgressCallback,
    ) -> None:
        super().__init__()
        self.config, self.folder, self.say, self.progress = config, folder, say, progress
        self.algorithm, self.arena = ALGORITHMS[algorithm_of(config)], arena_of(config.game, config.pedestrians)
        self.started = time.process_time() - seconds_before
        self.checkpoint_timer = Every(60 * MINUTES, self._store_unevaluated)
        self.checkpoint_timer.restart(time.monotonic())
        self.resumed_at = resumed_at
        self.next_evaluation = self._next_evaluation_after(resumed_at[-1] if resumed_at else 0)
        self.evaluated_at = -1

    def _on_rollout_start(self) -> None:
        """Called between two updates, when all recorded transitions have been used and a checkpoint is complete."""
        self.checkpoint_timer.tick(time.monotonic())

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next_evaluation:
            self.next_evaluation = self._next_evaluation_after(self.num_timesteps)
            self.evaluate_and_store()
        self.progress(self.num_timesteps / self.config.steps, f"{self.num_timesteps:,} of {self.config.steps:,} decisions")
        return True

    def _next_evaluation_after(self, decisions: int) -> int:
        return (decisions // self.config.evaluate_every + 1) * self.config.evaluate_every

    def evaluate_and_store(self) -> None:
        """Evaluates the policy, then stores the metrics, the checkpoint, and the policy if it is the best so far.

        Raises:
            TrainingError: the weights are not finite.
        """
        self._check_finite()
        model, algorithm = self.model, self.algorithm
        network, seed = algorithm.exported_network(model), 10_000 + self.config.seed
        scores = evaluate(
            make_policy(
                algorithm.kind, lambda observations: algorithm.action_scores(network, observations), model.device, seed
            ),
            self.arena,
            self.config.evaluation_episodes,
            seed=seed,
            epsilon=algorithm.epsilon[0],
            max_decisions=self.config.episode_decisions,
        )
        score = float(np.mean(scores))
        append_metrics(
            self.folder / METRICS,
            {
                "step": model.num_timesteps,
                "updates": updates_of(model),
                "score": score,
                "scores": scores,
                "cpu_seconds": time.process_time() - self.started,
            },
        )
        self._store(score)
        self.evaluated_at = model.num_timesteps
        self.say(f"{model.num_timesteps:>9,} of {self.config.steps:,} decisions   score {score:7.1f}")

    def _store_unevaluated(self) -> None:
        self._check_finite()
        self._store(None)

    def _store(self, score: float | None) -> None:
        """Stores a checkpoint, with the ``score`` of its policy if the policy has been evaluated."""
        cpu_seconds = time.process_time() - self.started
        store(self.folder, checkpoint_of(self.model, self.algorithm, cpu_seconds, score, self.resumed_at))
        self.checkpoint_timer.restart(time.monotonic())

    def _check_finite(self) -> None:
        if not fits_float16(self.algorithm.exported_network(self.model)):
            raise divergence_error(self.num_timesteps)


def updates_of(model: BaseAlgorithm) -> int:
    """Gradient updates of a model."""
    return int(getattr(model, UPDATES))


def fits_float16(network: nn.Module) -> bool:
    """Whether the weights are finite in float16, the number format of agent files, whose largest number is 65,504."""
    return all(bool(torch.isfinite(weights.half()).all()) for weights in network.parameters())


def divergence_error(decisions: int) -> TrainingError:
    """The error for a training whose weights can no longer be stored in an agent file."""
    return TrainingError(
        f"after {decisions:,} decisions the weights are not finite, or out of range for float16",
        expected="a training that does not diverge",
        todo="lower --learning-rate and choose another --output; the checkpoint here was written before the divergence",
    )

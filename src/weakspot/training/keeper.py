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
from weakspot.training.evaluate import evaluate, player

MINUTES = 3.0
"""Minutes of wall-clock time after which a checkpoint is written between two evaluations."""


class Keeper(BaseCallback):
    """Evaluates the policy every ``evaluate_every`` decisions, and stores checkpoints.

    stable-baselines3 steps the training and calls this object back.  A checkpoint is stored with each evaluation, and
    :data:`MINUTES` after the last one.

    Args:
        config: the settings.
        folder: of the training.
        seconds_before: processor time of the training before it was resumed.
        resumed_at: decisions after which it has been resumed.
        say: called with each evaluation as a line of text.
        tell: called with the share of the decisions made, and a short text.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        seconds_before: float,
        resumed_at: list[int],
        say: Callable[[str], None],
        tell: ProgressCallback,
    ) -> None:
        super().__init__()
        self.config, self.folder, self.say, self.tell = config, folder, say, tell
        self.algorithm, self.arena = ALGORITHMS[algorithm_of(config)], arena_of(config.game, config.pedestrians)
        self.started = time.process_time() - seconds_before
        self.between_evaluations = Every(60 * MINUTES, self._store_unevaluated)
        self.between_evaluations.restart(time.monotonic())
        self.resumed_at = resumed_at
        self.next_evaluation = self._following(resumed_at[-1] if resumed_at else 0)
        self.kept_at = -1

    def _on_rollout_start(self) -> None:
        """Called between two updates, when a checkpoint misses nothing: all recorded transitions have been used."""
        self.between_evaluations.tick(time.monotonic())

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next_evaluation:
            self.next_evaluation = self._following(self.num_timesteps)
            self.keep()
        self.tell(self.num_timesteps / self.config.steps, f"{self.num_timesteps:,} of {self.config.steps:,} decisions")
        return True

    def _following(self, decisions: int) -> int:
        return (decisions // self.config.evaluate_every + 1) * self.config.evaluate_every

    def keep(self) -> None:
        """Evaluates the policy, then stores the line of metrics, the checkpoint, and the policy if it is the best so far.

        Raises:
            TrainingError: the weights are not finite.
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
        self.kept_at = model.num_timesteps
        self.say(f"{model.num_timesteps:>9,} of {self.config.steps:,} decisions   score {score:7.1f}")

    def _store_unevaluated(self) -> None:
        self._check_finite()
        self._store(None)

    def _store(self, score: float | None) -> None:
        """Stores a checkpoint, with the ``score`` of its policy if that has been evaluated."""
        cpu_seconds = time.process_time() - self.started
        store(self.folder, checkpoint_of(self.model, self.algorithm, cpu_seconds, score, self.resumed_at))
        self.between_evaluations.restart(time.monotonic())

    def _check_finite(self) -> None:
        if not can_be_kept(self.algorithm.kept(self.model)):
            raise astray(self.num_timesteps)


def updates_of(model: BaseAlgorithm) -> int:
    """Gradient updates of a model."""
    return int(getattr(model, UPDATES))


def can_be_kept(network: nn.Module) -> bool:
    """Whether the weights are finite in float16, the number format of agent files, whose largest number is 65,504."""
    return all(bool(torch.isfinite(weights.half()).all()) for weights in network.parameters())


def astray(decisions: int) -> TrainingError:
    """The error of a training whose weights cannot be stored in an agent file any more."""
    return TrainingError(
        f"after {decisions:,} decisions the weights are not finite, or beyond float16",
        expected="a training that does not diverge",
        todo="lower --learning-rate, in another --output; the checkpoint in this one is from before",
    )

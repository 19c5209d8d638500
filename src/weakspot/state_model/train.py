"""Trains a state model on a data set.  A call that was killed resumes from its last checkpoint when it is repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from weakspot.agents.base import Perceiver
from weakspot.data.dataset import StateDataset, as_state
from weakspot.state_model.checkpoint import (
    CHECKPOINT,
    METRICS,
    PRIOR_CHECKPOINT,
    finished_model,
    resume,
    store_model,
)
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.helper import broadcast_share, broadcast_start
from weakspot.state_model.information import Information, information
from weakspot.state_model.model import StateModel
from weakspot.state_model.monitor import Measure, TrainingMonitor
from weakspot.state_model.prior import fit_prior
from weakspot.state_model.recipes import Recipe
from weakspot.state_model.setup import TrainingSetup, make_setup
from weakspot.state_model.trainer import Trainer, gradients
from weakspot.system.files import make_folder
from weakspot.system.progress import ProgressCallback
from weakspot.system.ranks import Ranks
from weakspot.system.training_loop import Budget, CheckpointFile, Every, TrainingLoop, budget

__all__ = ["Measure", "gradients", "train"]


EXAMINED = 200
"""Training states over which the information of the latents is measured at the end."""


def train(
    perceive: Perceiver,
    dataset: StateDataset,
    maps: np.ndarray,
    config: TrainConfig,
    folder: Path,
    *,
    chosen_recipe: Recipe | None = None,
    clock: Callable[[], float] = time.perf_counter,
    measures: Measure | None = None,
    progress: ProgressCallback = lambda share, text: None,
    ranks: Ranks | None = None,
) -> StateModel:
    """Trains in ``folder`` until the budget is used, and writes ``model.safetensors`` and ``model.json`` there.

    A finished model of the same data, settings and budget in ``folder`` is loaded instead.

    Args:
        perceive: A(s), the agent whose weaknesses are searched for.
        dataset: the recorded states.
        maps: the stored saliency maps of all these states (n, h/2, w/2).
        config: budget, seed and machine.
        folder: where checkpoints and the model are stored, see :mod:`weakspot.state_model.checkpoint`.
        chosen_recipe: a recipe with settings of its own; by default the one that ``config`` names.
        clock: returns the current time in seconds, for budgets in minutes; :func:`time.process_time` counts processor time.
        measures: called every ``config.measure_every`` seconds with the current model, whose prior is not fitted yet, and
            at the end with the finished one.
        progress: called with the share of the budget that is used, from 0 to 1, and a short text.
        ranks: processes that share each step of the network; the others call
            :func:`weakspot.state_model.helper.help_training`.

    Returns:
        The trained model, in evaluation mode, its parameters frozen.

    Warns:
        CollapsedPosteriorWarning: the latents carry next to no information, see :mod:`weakspot.state_model.information`.

    Raises:
        ConfigError: no states are left to train on, or there is no such recipe.
        OutputError: the agent returned NaN or infinity.
        StateModelError: the loss is not finite, or the checkpoint is damaged.
        StorageError: the folder cannot be written to.
    """
    make_folder(folder)
    setup = make_setup(perceive, dataset, maps, config, chosen_recipe)
    if (finished := finished_model(folder, setup)) is not None:
        broadcast_start(ranks, None, None)
        return finished
    indices = setup.training_states()
    statistics = setup.statistics(indices)
    trainer = Trainer(setup, statistics, indices, ranks)
    shared = broadcast_share(ranks, network_budget(setup))
    loop = TrainingLoop(trainer, CheckpointFile(folder / CHECKPOINT, setup.training_digest), shared, clock)
    resume(loop, trainer.terms, folder / METRICS)
    broadcast_start(ranks, loop, trainer)
    monitor = TrainingMonitor(setup, trainer, loop, folder / METRICS, measures, progress)
    with trainer.workers():
        loop.run([*monitor.periodic(), Every(config.checkpoint_every, loop.store)])
    trainer.network.requires_grad_(False)
    model = fit_prior(monitor.model(), setup, indices, folder / PRIOR_CHECKPOINT, clock, progress)
    monitor.measure(model)
    carried = carried_information(model, setup, indices)
    if carried.collapsed:
        monitor.warn(carried.kl)
    progress(1.0, f"step {loop.steps:,}")
    store_model(model, statistics, folder)
    return model


def carried_information(model: StateModel, setup: TrainingSetup, indices: np.ndarray) -> Information:
    """What the latents carry, over at most :data:`EXAMINED` evenly spaced training states."""
    chosen = indices[np.linspace(0, len(indices) - 1, min(EXAMINED, len(indices))).astype(int)]
    parts = np.array_split(chosen, -(-len(chosen) // 50))
    with torch.no_grad():
        posteriors = [model.posterior(as_state(setup.dataset.stacks(part)).to(setup.device)) for part in parts]
    return information(torch.cat([mean for mean, _ in posteriors]), torch.cat([spread for _, spread in posteriors]))


def network_budget(setup: TrainingSetup) -> Budget:
    """``steps`` if the configuration sets them, else the minutes that are left without the flow's share."""
    config = setup.config
    return budget(config.steps, 60.0 * config.minutes * (1.0 - setup.prior_share))

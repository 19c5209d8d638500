"""Fits the distribution of the data's latents after the network has been trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from weakspot.state_model import flow_training, whitening
from weakspot.state_model.feeder import encoded
from weakspot.state_model.flow import FlowConfig
from weakspot.state_model.model import StateModel
from weakspot.state_model.setup import TrainingSetup
from weakspot.system.compute import threads
from weakspot.system.progress import ProgressCallback
from weakspot.system.provenance import digest
from weakspot.system.training_loop import Budget, budget


def fit_prior(
    model: StateModel,
    setup: TrainingSetup,
    indices: np.ndarray,
    checkpoint: Path,
    clock: Callable[[], float] = time.perf_counter,
    progress: ProgressCallback = lambda share, text: None,
) -> StateModel:
    """The model with the prior of its recipe: none, a Gaussian, or a flow.

    Args:
        model: its network is trained, its prior the identity.
        setup: of the training.
        indices: the training states.
        checkpoint: the file that the training of the flow resumes from.
        clock: returns the current time in seconds.
        progress: called with the share of the whole training's budget that is used, and a short text.
    """
    recipe = setup.recipe
    if not recipe.whitens:
        return model
    means, log_variances = encoded(model.network, setup.dataset, indices, setup.device)
    if recipe.flow is None:
        return replace(model, prior=whitening.fit(means, log_variances))
    config = setup.config
    with threads(config.parts):
        prior, result = flow_training.fit(
            means, log_variances, model.network.frames, recipe.flow,
            budget=flow_budget(setup), seed=config.seed, made_of=_flow_digest(setup, model.info["steps"], recipe.flow),
            checkpoint=checkpoint, checkpoint_every=config.checkpoint_every, dtype=setup.precision, clock=clock,
            progress=lambda share, text: progress(1.0 - setup.prior_share * (1.0 - share), text),
        )  # fmt: skip
    return replace(model, prior=prior, info=model.info | {"flow": {"settings": asdict(recipe.flow), **result}})


def flow_budget(setup: TrainingSetup) -> Budget:
    """``prior_steps`` if the budget of the training is in steps, else the flow's share of its minutes."""
    config = setup.config
    return budget(config.prior_steps if config.steps > 0 else 0, 60.0 * config.minutes * setup.prior_share)


def _flow_digest(setup: TrainingSetup, steps: int, config: FlowConfig) -> str:
    return digest(setup.training_digest, steps, asdict(config))

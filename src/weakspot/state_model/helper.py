"""What the processes of ``torchrun`` other than rank 0 do: they compute their share of each training step.

All processes draw the same batch and begin with the same network.  Each computes the gradients of the loss on its part of
the batch; the sums over all parts are those of the whole batch, and every process takes the same step of the optimiser:

    g = sum_r g_r,        g_r = (n_r / n) grad L(batch_r)

Rank 0 decides when to stop, and it alone measures and writes.  It sends, in this order: the state with which the training
begins, or None if there is nothing to train; and before each step the share of the budget that is used: 1 at the end, or
None if it has to stop.
"""

from __future__ import annotations

import io

import numpy as np
import torch

from weakspot.agents.base import Perceiver
from weakspot.data.dataset import StateDataset
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.recipes import Recipe
from weakspot.state_model.setup import make_setup
from weakspot.state_model.trainer import Trainer
from weakspot.system.ranks import Ranks
from weakspot.system.training_loop import Budget, TrainingLoop


def broadcast_start(ranks: Ranks | None, loop: TrainingLoop | None, trainer: Trainer | None) -> None:
    """Sends the state with which a training begins; None if there is nothing to train."""
    if ranks is None:
        return
    if loop is None or trainer is None:
        ranks.broadcast(None)
        return
    state = io.BytesIO()  # so that tensors on the GPU of rank 0 do not come to the others as such
    torch.save({**trainer.state_dict(), "steps": loop.steps}, state)
    ranks.broadcast(state.getvalue())


def broadcast_share(ranks: Ranks | None, budget: Budget) -> Budget:
    """A budget that sends the share to the other processes before each step."""
    if ranks is None:
        return budget

    def share(steps: int, seconds: float) -> float:
        used = budget(steps, seconds)
        ranks.broadcast(used)
        return used

    return share


def help_training(
    perceive: Perceiver,
    dataset: StateDataset,
    maps: np.ndarray,
    config: TrainConfig,
    ranks: Ranks,
    chosen_recipe: Recipe | None = None,
) -> None:
    """Takes part in a call of :func:`weakspot.state_model.train.train` with the same arguments in rank 0."""
    content = ranks.receive()
    if content is None:
        return
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    setup = make_setup(perceive, dataset, maps, config, chosen_recipe)
    indices = setup.training_states()
    trainer, steps = Trainer(setup, setup.statistics(indices), indices, ranks), int(state["steps"])
    trainer.load_state_dict(state)
    with trainer.workers():
        while (share := ranks.receive()) is not None and share < 1.0:
            trainer.step(share, steps)
            steps += 1

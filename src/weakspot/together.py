"""A run whose state model several processes train, as ``torchrun`` starts them:

    torchrun --nproc-per-node 8 -m weakspot train --agent ... --device cuda --output runs/mine

Rank 0 makes the run; the others wait, help with each training step, and end with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weakspot.artifacts.run import Run
from weakspot.config import RunConfig
from weakspot.pipeline import Pipeline
from weakspot.session import Session
from weakspot.system.ranks import Ranks, device_of, joined_ranks


def run_together(config: RunConfig, only: Sequence[str] | None = None) -> Run | None:
    """Makes a run, alone or with the other processes that ``torchrun`` started.

    Args:
        config: of the run.
        only: names of the stages to run, see :class:`~weakspot.pipeline.Pipeline`.

    Returns:
        The run; None in the processes that only help.

    Raises:
        WeakspotError: as :meth:`weakspot.pipeline.Pipeline.run`, and as :func:`weakspot.system.ranks.joined_ranks`.
    """
    with joined_ranks(config.device) as ranks:
        config = replace(config, device=device_of(ranks, config.device))
        if ranks is None:
            return Pipeline(config, only).run()
        if not ranks.leads:
            _help(config, ranks)
            return None
        run = Pipeline(config, only, ranks=ranks).run()
        ranks.broadcast(None)
        return run


def _help(config: RunConfig, ranks: Ranks) -> None:
    """Takes part in every training of rank 0, which sends the folders of its results."""
    from weakspot.state_model.helper import help_training

    while (results := ranks.receive()) is not None:
        session = Session(config, {name: Path(folder) for name, folder in results.items()}, ranks)
        help_training(session.perceive, session.dataset, session.maps, config.train, ranks)

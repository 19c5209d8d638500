"""Networks of ``fast`` with other settings, without its flow, and what they have learned after equal work."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weakspot.analysis.fidelity import fidelity
from weakspot.session import Session
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.fast import FastConfig, FastRecipe
from weakspot.state_model.recipes import Recipe, chosen_settings
from weakspot.state_model.train import train

WITHOUT_FLOW = "fast-gaussian"
"""The recipe that is ``fast`` without its flow."""
ADAMW = "adamw"
"""Stands for AdamW in place of Muon."""
DECAY = 1e-3
"""Weight decay of AdamW, that of the recipe before Muon."""
MEASURED = 2_000
"""Held-out states, at most, that reconstructions are measured on."""


class AdamWRecipe(FastRecipe):
    """AdamW for all parameters."""

    def optimizers(self, network: nn.Module) -> list[torch.optim.Optimizer]:
        """AdamW."""
        return [torch.optim.AdamW(network.parameters(), weight_decay=DECAY, fused=True)]


def recipe_of(words: str) -> FastRecipe:
    """The recipe without its flow that words such as ``batch_size=32 momentum=0.95`` describe.

    ``adamw`` stands for AdamW, ``default`` for no change.

    Raises:
        ConfigError: the recipe has no such setting.
    """
    texts = [word for word in words.split() if word not in (ADAMW, "default")]
    kind = AdamWRecipe if ADAMW in words.split() else FastRecipe
    return kind(FastConfig(), flow=None).changed(**chosen_settings(WITHOUT_FLOW, texts))


def measures_after(session: Session, config: TrainConfig, chosen: Recipe | None = None) -> dict[str, Any]:
    """Measures of the reconstructions after a training of ``chosen``, or of the recipe that ``config`` names.

    ``cpu_seconds`` is the processor time of the training, which the budget counts as well.
    """
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        model = train(
            session.perceive, session.dataset, session.maps, config, Path(folder), chosen_recipe=chosen,
            clock=time.process_time,
        )  # fmt: skip
        seconds = time.process_time() - started
        line = fidelity(model, session.perceive, session.dataset, session.held_out_sample(MEASURED)).line()
    return {**line, "steps": model.info["steps"], "cpu_seconds": round(seconds, 1)}

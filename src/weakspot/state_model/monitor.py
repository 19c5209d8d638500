"""Progress, metrics and measurements during the training of a state model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from weakspot.errors import CollapsedPosteriorWarning
from weakspot.state_model import whitening
from weakspot.state_model.config import FEW_NATS
from weakspot.state_model.information import collapse_message
from weakspot.state_model.model import StateModel
from weakspot.state_model.setup import TrainingSetup
from weakspot.state_model.trainer import Trainer
from weakspot.system.metrics import append_metrics
from weakspot.system.progress import ProgressCallback
from weakspot.system.training_loop import Every, TrainingLoop

Measure: TypeAlias = Callable[[StateModel], dict[str, float]]
"""Measures a model on held-out states; what it returns is written to ``metrics.jsonl``."""

REPORT_EVERY = 5.0
"""Seconds of training between two reports of the progress and the loss terms."""
WARN_AFTER = 0.25
"""Share of the budget after which a collapsed posterior is reported; at the beginning of a training the KL may be small."""


class TrainingMonitor:
    """Reports a training between its steps.

    Args:
        setup, trainer, loop: the training.
        metrics: the file of JSON lines that loss terms and measurements are appended to.
        measures: measures the model, or None.
        progress: called with the share of the whole training's budget that is used, and a short text.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        trainer: Trainer,
        loop: TrainingLoop,
        metrics: Path,
        measures: Measure | None,
        progress: ProgressCallback,
    ) -> None:
        self._setup, self._trainer, self._loop = setup, trainer, loop
        self._metrics, self._measures, self._progress = metrics, measures, progress
        self._info = setup.info(trainer.network)
        self._warned = False

    def periodic(self) -> list[Every]:
        """The periodic work between steps: the report, then the measurement."""
        report = Every(REPORT_EVERY, self.report)
        return [report] if self._measures is None else [report, Every(self._setup.config.measure_every, self._measure)]

    def report(self) -> None:
        """Reports the progress, and appends the means of the loss terms to the metrics."""
        share = self._loop.share * (1.0 - self._setup.prior_share)
        self._progress(share, f"step {self._loop.steps:,}, loss {self._trainer.terms.last['loss']:,.4g}")
        self._append({})
        self.check_information()

    def check_information(self) -> None:
        """Warns, once, if the KL of the last batch is below a few nats; :func:`weakspot.state_model.train.train` checks the
        trained model on more states.

        Warns:
            CollapsedPosteriorWarning: the latents carry next to no information.
        """
        kl = self._trainer.terms.last.get("prior")
        if self._warned or kl is None or kl >= FEW_NATS or self._loop.share < WARN_AFTER:
            return
        self.warn(kl)

    def warn(self, kl: float) -> None:
        """Warns, once, about latents that carry ``kl`` nats."""
        if not self._warned:
            self._warned = True
            warnings.warn(collapse_message(kl, self._setup.config.recipe), CollapsedPosteriorWarning, stacklevel=2)

    def measure(self, model: StateModel) -> None:
        """Appends the measurements of ``model`` to the metrics, if ``measures`` was given."""
        if self._measures is not None:
            self._append(self._measures(model))

    def model(self) -> StateModel:
        """The model with the current network, in evaluation mode, and an identity prior, since none is fitted yet."""
        network = self._trainer.network.eval()
        info = {**self._info, "steps": self._loop.steps, "seconds": round(self._loop.seconds, 1)}
        return StateModel(network, whitening.identity(network.latent).to(self._setup.device), info)

    def _measure(self) -> None:
        self.measure(self.model())
        self._trainer.network.train()

    def _append(self, measured: dict[str, float]) -> None:
        seconds = round(self._loop.seconds, 2)
        append_metrics(
            self._metrics, {"step": self._loop.steps, "seconds": seconds, **self._trainer.terms.take(), **measured}
        )

"""Stage: draw random samples of the state model and compare them with real states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.evidence import SAMPLE_ARRAYS, SAMPLES, SampleMeasures, Samples, write_samples
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.system.provenance import digest, file_digest

MIN_HELD_OUT = 8
"""With fewer held-out states than this, samples are drawn but not compared."""


class SamplesStage(Stage):
    """Draws random samples and compares them with held-out states in the agent's features."""

    name: ClassVar[str] = "samples"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect", "train")

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--samples.*``, and which states are held out."""
        return asdict(session.config.samples) | {"split": session.config.train.held_out}

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The measures, and some samples."""
        return SAMPLES, SAMPLE_ARRAYS

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.analysis.samples.measure_samples`."""
        write_samples(folder, _samples(session, session.config.samples.shown))
        return digest(file_digest(folder / SAMPLES), file_digest(folder / SAMPLE_ARRAYS))


def _samples(session: Session, shown: int) -> Samples:
    from weakspot.analysis.samples import draw_samples, measure_samples
    from weakspot.data.dataset import as_stacks

    if len(session.held_out) < MIN_HELD_OUT:
        return Samples(
            SampleMeasures(0), as_stacks(draw_samples(session.model, shown).cpu(), session.dataset.environment.channels)
        )
    measured = measure_samples(session.model, session.perceive, session.dataset, session.held_out)
    measures = SampleMeasures(
        count=len(measured.stacks),
        distance=measured.distance,
        floor=measured.floor,
        checks=measured.checks.line() if measured.checks is not None else None,
        real_checks=measured.real_checks.line() if measured.real_checks is not None else None,
    )
    return Samples(measures, measured.stacks[:shown])

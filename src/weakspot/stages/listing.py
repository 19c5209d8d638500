"""The stages of a run, one line each: a new stage is a file beside this one and a line here.

Nothing is imported before a stage is used, so that the command line lists them at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Listed:
    """Where a stage is, as ``module:class``, and the help of its subcommand."""

    place: str
    help: str


LISTING: Mapping[str, Listed] = {
    "subject": Listed(
        "weakspot.stages.subject:SubjectStage", "load agent and environment, and check them against each other"
    ),
    "collect": Listed("weakspot.stages.collect:CollectStage", "run the agent and store the states it visits"),
    "saliency": Listed("weakspot.stages.saliency:SaliencyStage", "compute the agent's saliency in the stored states"),
    "train": Listed("weakspot.stages.train:TrainStage", "train the state model on the stored states"),
    "fidelity": Listed("weakspot.stages.fidelity:FidelityStage", "measure how faithful reconstructions are"),
    "samples": Listed("weakspot.stages.samples:SamplesStage", "compare random samples of the state model with real states"),
    "goggles": Listed("weakspot.stages.goggles:GogglesStage", "let the agent play seeing only reconstructions"),
    "synthesize": Listed("weakspot.stages.synthesize:SynthesizeStage", "synthesise states for each target"),
    "novelty": Listed("weakspot.stages.novelty:NoveltyStage", "compare synthesised states with real ones"),
    "report": Listed("weakspot.stages.report:ReportStage", "build the HTML report"),
}
"""Name of each stage to its line, in the order of the report."""

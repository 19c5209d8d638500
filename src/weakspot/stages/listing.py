"""The stages of a run, one entry each: a new stage is a file in this package and an entry here.

A stage is imported when it is used, so the command line lists them without importing anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Listed:
    """The class of a stage, as ``module:class``, and the help of its subcommand."""

    import_path: str
    help: str


LISTING: Mapping[str, Listed] = {
    "subject": Listed(
        "weakspot.stages.subject:SubjectStage", "load agent and environment, and check them against each other"
    ),
    "collect": Listed("weakspot.stages.collect:CollectStage", "run the agent and store the states it visits"),
    "policy-values": Listed(
        "weakspot.stages.policy_values:PolicyValuesStage", "fit the action values of a policy with a critic"
    ),
    "overconfidence": Listed(
        "weakspot.stages.overconfidence:OverconfidenceStage", "estimate where the agent gets less than it expects"
    ),
    "saliency": Listed("weakspot.stages.saliency:SaliencyStage", "compute the agent's saliency in the stored states"),
    "train": Listed("weakspot.stages.train:TrainStage", "train the state model on the stored states"),
    "fidelity": Listed("weakspot.stages.fidelity:FidelityStage", "measure how faithful reconstructions are"),
    "samples": Listed("weakspot.stages.samples:SamplesStage", "compare random samples of the state model with real states"),
    "goggles": Listed("weakspot.stages.goggles:GogglesStage", "let the agent play while it sees only reconstructions"),
    "synthesize": Listed("weakspot.stages.synthesize:SynthesizeStage", "synthesise states for each target"),
    "ground": Listed("weakspot.stages.ground:GroundStage", "find states of the environment that stand for synthesised ones"),
    "confirm": Listed("weakspot.stages.confirm:ConfirmStage", "play on from these states, and find what goes wrong and why"),
    "novelty": Listed("weakspot.stages.novelty:NoveltyStage", "compare synthesised states with real ones"),
    "report": Listed("weakspot.stages.report:ReportStage", "build the HTML report"),
}
"""The stages by name, each after the stages it reads."""

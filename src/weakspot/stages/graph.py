"""All stages, in an order in which each comes after those it reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weakspot.errors import ConfigError
from weakspot.stages.collect import CollectStage
from weakspot.stages.fidelity import FidelityStage
from weakspot.stages.goggles import GogglesStage
from weakspot.stages.novelty import NoveltyStage
from weakspot.stages.report import ReportStage
from weakspot.stages.saliency import SaliencyStage
from weakspot.stages.samples import SamplesStage
from weakspot.stages.stage import Stage
from weakspot.stages.subject import SubjectStage
from weakspot.stages.synthesize import SynthesizeStage
from weakspot.stages.train import TrainStage

STAGES: tuple[Stage, ...] = (
    SubjectStage(),
    CollectStage(),
    SaliencyStage(),
    TrainStage(),
    FidelityStage(),
    SamplesStage(),
    GogglesStage(),
    SynthesizeStage(),
    NoveltyStage(),
    ReportStage(),
)


def ordered(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages, each after those it reads, otherwise in the order given.

    Raises:
        ConfigError: two have one name, one reads a stage that there is not, or they read each other in a circle.
    """
    given = tuple(stages)
    left = {stage.name: stage for stage in given}
    if len(left) < len(given):
        raise ConfigError("two stages have the same name", expected="a name of its own for each")
    placed: dict[str, Stage] = {}
    while left:
        ready = next((stage for stage in left.values() if all(name in placed for name in stage.inputs)), None)
        if ready is None:
            reads = "; ".join(f"{stage.name} reads {', '.join(stage.inputs)}" for stage in left.values())
            raise ConfigError(f"stages cannot be put in order: {reads}", expected="a graph without circles or gaps")
        placed[ready.name] = left.pop(ready.name)
    return tuple(placed.values())


def needed_by(names: Sequence[str], stages: Sequence[Stage]) -> set[str]:
    """The named stages, and all that they read, directly or not."""
    by_name = {stage.name: stage for stage in stages}
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(by_name[name].inputs)
    return found

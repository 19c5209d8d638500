"""All stages, each after the stages it reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module

from weakspot.errors import ConfigError
from weakspot.stages.listing import LISTING
from weakspot.stages.stage import Stage


def _stage(name: str) -> Stage:
    """An instance of a stage of the listing."""
    module, _, attribute = LISTING[name].import_path.partition(":")
    stage: Stage = getattr(import_module(module), attribute)()
    return stage


STAGES: tuple[Stage, ...] = tuple(_stage(name) for name in LISTING)
"""The stages of :data:`weakspot.stages.listing.LISTING`."""


def ordered(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages in topological order: each after the stages it reads, otherwise in the given order.

    Raises:
        ConfigError: two stages have the same name, an input does not exist, or the graph has a cycle.
    """
    given = tuple(stages)
    remaining = {stage.name: stage for stage in given}
    if len(remaining) < len(given):
        raise ConfigError("two stages have the same name", expected="unique names")
    in_order: dict[str, Stage] = {}
    while remaining:
        ready = next((stage for stage in remaining.values() if all(name in in_order for name in stage.inputs)), None)
        if ready is None:
            reads = "; ".join(f"{stage.name} reads {', '.join(stage.inputs)}" for stage in remaining.values())
            raise ConfigError(f"stages cannot be put in order: {reads}", expected="a graph without cycles or missing inputs")
        in_order[ready.name] = remaining.pop(ready.name)
    return tuple(in_order.values())


def needed_by(names: Iterable[str], stages: Sequence[Stage]) -> set[str]:
    """The named stages, and all stages they read, directly or indirectly."""
    by_name = {stage.name: stage for stage in stages}
    needed: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending.extend(by_name[name].inputs)
    return needed

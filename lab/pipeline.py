"""Runs of weakspot's pipeline for experiments and benchmarks, which share their results.

A folder of runs contains

    store/                      the results of all runs: collections, saliency maps, state models, search results
    AGENT-RECIPE-DIGEST/        the run folder of one configuration

so that a second experiment with the same settings finds its collection and its state model in the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from lab.arguments import ExperimentArguments, short_name
from weakspot.analysis.config import GogglesConfig
from weakspot.artifacts.evidence import Interval, Scores, read_goggles
from weakspot.artifacts.training import CURVES
from weakspot.config import RunConfig
from weakspot.data.config import CollectConfig
from weakspot.pipeline import Pipeline
from weakspot.session import Session
from weakspot.state_model.config import TrainConfig
from weakspot.subject import Subject, load_subject
from weakspot.system.provenance import digest
from weakspot.targets.resolve import resolve_target

PLAYED = ("subject", "collect")
"""Stages that provide the recorded states of an agent."""
STATES = (*PLAYED, "saliency")
"""Stages that provide the recorded states of an agent, and its saliency in them."""
MODEL = (*STATES, "train")
"""Stages that provide the state model as well."""
MEASURED, MEASURE_EVERY, MEASUREMENTS = 2_000, 30.0, 45
"""Held-out states, at most, in a measurement during training; the seconds between two measurements, or more if there would
be more measurements than the last number, since they are not a part of the training's minutes."""


def open_session(
    config: RunConfig, stages: Sequence[str] = MODEL, check: Callable[[Subject], None] = lambda subject: None
) -> Session:
    """Runs stages, as far as their results are not in the store, and returns the session that reads the results.

    Args:
        config: of the run; see :func:`run_config`.
        stages: names of the stages.
        check: raises an error if the experiment cannot be done with an agent.

    Raises:
        UnknownTargetError: the agent does not have one of ``config.targets``; nothing is written.
        WeakspotError: a stage failed. Finished results stay in the store.
    """
    pipeline = Pipeline(config, only=stages)
    subject = pipeline.session.subject
    check(subject)
    for name in config.targets:
        resolve_target(name, subject.agent.spec, 1.0)
    pipeline.run()
    return pipeline.session


def run_config(
    folder: Path,
    agent: str,
    environment: str | None,
    *,
    frames: int = CollectConfig().frames,
    recipe: str = "fast",
    recipe_settings: tuple[str, ...] = (),
    minutes: float = 1.0,
    clock: Literal["wall", "processor"] = "processor",
    goggles: GogglesConfig | None = None,
    targets: Sequence[str] = (),
    **settings: Any,
) -> RunConfig:
    """The configuration of a run inside ``folder``, whose runs share one store.

    Args:
        folder: of the runs.
        agent, environment, targets: see :class:`weakspot.RunConfig`.
        frames: number of states to collect.
        recipe, recipe_settings, minutes, clock: of the state model's training.
        goggles: of the goggles stage.
        settings: others of :class:`weakspot.RunConfig`.
    """
    train = TrainConfig(
        recipe=recipe, recipe_settings=recipe_settings, minutes=minutes, clock=clock,
        measure_every=max(MEASURE_EVERY, 60.0 * minutes / MEASUREMENTS), measured=MEASURED,
    )  # fmt: skip
    config = RunConfig(
        agent=agent, environment=environment, targets=tuple(targets), collect=CollectConfig(frames=frames), train=train,
        goggles=goggles or GogglesConfig(), **settings,
    )  # fmt: skip
    name = f"{short_name(agent)}-{recipe}-{digest(config.record())}"
    return replace(config, output=folder / name, store=folder / "store")


def experiment_config(
    arguments: ExperimentArguments,
    targets: Sequence[str] = (),
    recipe: str | None = None,
    recipe_settings: tuple[str, ...] = (),
    minutes: float | None = None,
    goggles: GogglesConfig | None = None,
) -> RunConfig:
    """The configuration of an experiment's run; ``recipe`` and ``minutes`` replace those of the arguments."""
    return run_config(
        arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames,
        recipe=recipe or arguments.recipe, recipe_settings=recipe_settings, minutes=minutes or arguments.budget,
        goggles=goggles, targets=targets, device=arguments.device, saliency=arguments.saliency, trust=arguments.trust,
    )  # fmt: skip


def goggles_config(episodes: int, longest: int = GogglesConfig().longest) -> GogglesConfig:
    """Settings of the goggles stage: the number of episodes, and the decisions after which an episode is truncated."""
    return GogglesConfig(episodes=episodes, longest=longest)


def goggles_record(session: Session) -> dict[str, Any]:
    """The scores of the goggles stage as plain data, with their means and intervals."""
    goggles = read_goggles(session.results["goggles"])

    def interval(values: Interval) -> dict[str, Any]:
        return asdict(values)

    return {
        "episodes": len(goggles.agent.scores),
        "agent": _played_record(goggles.agent),
        "goggles": _played_record(goggles.goggles),
        "difference": interval(goggles.difference),
        "ratio": interval(goggles.ratio) if goggles.ratio else None,
        "note": goggles.note,
    }


def _played_record(played: Scores) -> dict[str, Any]:
    return {"scores": list(played.scores), "signs": list(played.signs), **asdict(played.interval)}


def measurements(session: Session) -> list[dict[str, Any]]:
    """The measurements on held-out states during training: ``step``, ``seconds`` of training, and the measures."""
    lines = [json.loads(line) for line in (session.results["train"] / CURVES).read_text().splitlines()]
    return [line for line in lines if "agreement" in line]


def loaded_subject(agent: str, environment: str | None) -> Subject:
    """The agent and its environment, checked against each other, without a run.

    Raises:
        AgentError: the agent cannot be used.
        ConfigError: there is no such environment.
    """
    return load_subject(RunConfig(agent=agent, environment=environment))

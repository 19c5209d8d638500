"""Confirmations in experiments: the weaknesses of an agent, from recorded states alone, from such with one thing changed as
well, from twins as well, or from states that other methods choose."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from lab.attribution import Checker
from lab.pipeline import PLAYED
from lab.rivals import CHOSEN, RIVALS, usable_states
from lab.twins import TWINS
from weakspot.agents.load import load_agent
from weakspot.artifacts.findings import read_search
from weakspot.artifacts.twins import read_twins
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.confirmation import confirm
from weakspot.envs.pool import EnvironmentPool
from weakspot.ground.plausibility import measure_drawing
from weakspot.session import POOL, Session
from weakspot.types import Stacks

CHANGED = 240
"""Rollouts from recorded states in which one thing is changed."""
RECORDED, WHAT_IFS, WITH_TWINS = "recorded", "what-ifs", "twins"
METHODS: dict[str, tuple[str, ...]] = {
    RECORDED: PLAYED, WHAT_IFS: PLAYED, WITH_TWINS: TWINS, **dict.fromkeys(RIVALS, PLAYED)
}  # fmt: skip
"""The stages that each method needs before its rollouts."""


@dataclass(frozen=True)
class Known:
    """A weakness that is known: variables that cause it, and actions that avoid it.

    Attributes:
        agent: a shipped agent or a file.
        variables: names of variables without their meanings, or kinds of what has several, any of which is a right cause.
        actions: names of actions; a right rescue holds one of them.
    """

    agent: str
    variables: tuple[str, ...]
    actions: tuple[str, ...]
    healthy: None = None
    environment: None = None

    def is_found_in(self, weakness: dict[str, Any]) -> bool:
        """Whether a weakness of a run is this one."""
        return any(f"{cause} ".startswith(f"{name} ") for cause in weakness["cause"] for name in self.variables)

    def is_avoided_by(self, rescue: str) -> bool:
        """Whether a rescue holds a right action."""
        words = rescue.replace(",", "").split()
        return words[:1] == ["holding"] and any(action in words for action in self.actions)


@dataclass(frozen=True)
class Hidden:
    """A weakness that was planted, and that a healthy agent does not have.

    Attributes:
        agent: a reference to a function that makes the agent.
        environment: of both agents.
        healthy: the healthy agent.
    """

    agent: str
    environment: str
    healthy: str

    def is_found_in(self, weakness: dict[str, Any]) -> bool:
        """Whether the losses of a weakness of a run are due to it."""
        return bool(weakness["due"])


@dataclass(frozen=True)
class Healthy:
    """An agent in which nothing was planted; what is found may be true or a false alarm.

    Attributes:
        agent: a shipped agent, a file, or a reference to a function that makes it.
        environment: of the agent; None if its file says it.
    """

    agent: str
    environment: str | None = None
    healthy: None = None

    def is_found_in(self, weakness: dict[str, Any]) -> bool:
        """False: there is nothing to find."""
        return False


Case: TypeAlias = Known | Hidden | Healthy


def find_weaknesses(session: Session, method: str, seed: int, case: Case) -> dict[str, Any]:
    """The weaknesses that rollouts with a seed show, as plain data, and what they cost: ``minutes`` of processor time.

    Each is checked afterwards (:mod:`lab.attribution`), which is not a part of the cost.
    """
    started = _processor_seconds()
    before, config = session.player.steps, ConfirmConfig(seed=seed)
    others = RIVALS[method](session, seed) if method in RIVALS else []
    if method == WHAT_IFS:
        config = replace(config, what_ifs=CHANGED)
    if method in RIVALS:
        config = replace(config, controls=config.controls - CHOSEN)
    chosen_by = session.player.steps - before
    twins = {
        read_search(session.results[f"synthesize/{slug}"]).target: read_twins(
            session.results[f"ground/{slug}"], session.record.environment
        )
        for slug in (session.targets if method == WITH_TWINS else ())
    }
    subject = session.subject
    with EnvironmentPool(subject.factory, subject.spec, POOL) as pool:
        found = confirm(
            session.player, pool, subject.agent, session.likeness, config, twins, others,
            possible=_drawn_whole(session) if method == WHAT_IFS else None,
        ).confirmation  # fmt: skip
    session.close()  # so that the processes of all pools have ended, and their time counts
    minutes = round((_processor_seconds() - started) / 60, 2)
    with EnvironmentPool(subject.factory, subject.spec, POOL) as pool:
        healthy = load_agent(case.healthy) if case.healthy else None
        checker = Checker(session, pool, healthy, config, found.horizon)
        checks = [checker.check(weakness) for weakness in found.weaknesses]
    return {
        "seed": seed,
        "minutes": minutes,
        "environment_steps": found.environment_steps - before,
        "steps_of_the_choice": chosen_by,
        "controls_lost": [found.controls.events, found.controls.trials],
        "weaknesses": [
            {
                "verdict": weakness.verdict,
                "sentence": weakness.sentence,
                "confirmed": weakness.confirmed,
                "cause": [variable.name for variable in weakness.cause.variables] if weakness.cause else [],
                "rescue": weakness.rescue.label if weakness.rescue else "",
                "gain": weakness.rescue.gain if weakness.rescue else None,
                "states": len(weakness.states),
                **check,
            }
            for weakness, check in zip(found.weaknesses, checks, strict=True)
        ],
    }


def _drawn_whole(session: Session) -> Callable[[Stacks], np.ndarray]:
    """Which states can be by how they are drawn, without a state model."""
    return measure_drawing(session.dataset, usable_states(session), np.random.default_rng(0)).is_whole


def _processor_seconds() -> float:
    """Processor time of this process and of those it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def rank_of(run: dict[str, Any], case: Case) -> int | None:
    """The place, from 1, of the case's weakness among the confirmed ones of a run; None if it is not among them."""
    for place, weakness in enumerate(confirmed_of(run), start=1):
        if case.is_found_in(weakness):
            return place
    return None


def has_right_rescue(run: dict[str, Any], known: Known) -> bool:
    """Whether the known weakness comes with a rescue that holds a right action."""
    place = rank_of(run, known)
    return place is not None and known.is_avoided_by(confirmed_of(run)[place - 1]["rescue"])


def confirmed_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The confirmed weaknesses of a run, in their order."""
    return [weakness for weakness in run["weaknesses"] if weakness["confirmed"]]

"""Confirmations in experiments: the weaknesses of an agent, from recorded states alone, from twins as well, or from states
that other methods choose."""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace
from typing import Any

from lab.pipeline import STATES
from lab.rivals import CHOSEN, RIVALS
from lab.twins import TWINS
from weakspot.artifacts.findings import read_search
from weakspot.artifacts.twins import read_twins
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.confirmation import confirm
from weakspot.envs.pool import EnvironmentPool
from weakspot.session import POOL, Session

METHODS: dict[str, tuple[str, ...]] = {"recorded": STATES, "twins": TWINS, **dict.fromkeys(RIVALS, STATES)}
"""The stages that each method needs before its rollouts."""


@dataclass(frozen=True)
class Known:
    """A weakness that is known: variables that cause it, and actions that avoid it.

    Attributes:
        name: of the weakness.
        agent: a shipped agent or a file.
        variables: names of variables, any of which is a right cause.
        actions: names of actions; a right rescue holds one of them.
    """

    name: str
    agent: str
    variables: tuple[str, ...]
    actions: tuple[str, ...]


def find_weaknesses(session: Session, method: str, seed: int) -> dict[str, Any]:
    """The weaknesses that rollouts with a seed show, as plain data, and what they cost: ``minutes`` of processor time."""
    started = _processor_seconds()
    before, config = session.player.steps, ConfirmConfig(seed=seed)
    others = RIVALS[method](session, seed) if method in RIVALS else []
    if method in RIVALS:
        config = replace(config, controls=config.controls - CHOSEN)
    chosen_by = session.player.steps - before
    twins = {
        read_search(session.results[f"synthesize/{slug}"]).target: read_twins(
            session.results[f"ground/{slug}"], session.record.environment
        )
        for slug in (session.targets if method == "twins" else ())
    }
    subject = session.subject
    with EnvironmentPool(subject.factory, subject.spec, POOL) as pool:
        found = confirm(session.player, pool, subject.agent, session.likeness, config, twins, others).confirmation
    return {
        "seed": seed,
        "minutes": round((_processor_seconds() - started) / 60, 2),
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
            }
            for weakness in found.weaknesses
        ],
    }


def _processor_seconds() -> float:
    """Processor time of this process and of those it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def rank_of(run: dict[str, Any], known: Known) -> int | None:
    """The place, from 1, of a known weakness among the confirmed ones of a run; None if it is not among them."""
    confirmed = [weakness for weakness in run["weaknesses"] if weakness["confirmed"]]
    for place, weakness in enumerate(confirmed, start=1):
        if set(weakness["cause"]) & set(known.variables):
            return place
    return None


def has_right_rescue(run: dict[str, Any], known: Known) -> bool:
    """Whether the known weakness comes with a rescue that holds a right action."""
    place = rank_of(run, known)
    if place is None:
        return False
    confirmed = [weakness for weakness in run["weaknesses"] if weakness["confirmed"]]
    words = confirmed[place - 1]["rescue"].replace(",", "").split()
    return words[:1] == ["holding"] and any(action in words for action in known.actions)

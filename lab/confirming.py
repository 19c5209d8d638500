"""Confirmations in experiments: the weaknesses of an agent, from recorded states alone or from twins as well."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from lab.pipeline import STATES
from lab.twins import TWINS
from weakspot.artifacts.findings import read_search
from weakspot.artifacts.twins import read_twins
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.confirmation import confirm
from weakspot.session import Session

METHODS: dict[str, tuple[str, ...]] = {"recorded": STATES, "twins": TWINS}
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
    """The weaknesses that rollouts with a seed show, as plain data, and what they cost."""
    started = time.monotonic()
    config = ConfirmConfig(seed=seed)
    twins = {
        read_search(session.results[f"synthesize/{slug}"]).target: read_twins(
            session.results[f"ground/{slug}"], session.record.environment
        )
        for slug in (session.targets if method == "twins" else ())
    }
    found = confirm(session.player, session.pool, session.subject.agent, session.likeness, config, twins).confirmation
    return {
        "seed": seed,
        "minutes": round((time.monotonic() - started) / 60, 2),
        "environment_steps": found.environment_steps,
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

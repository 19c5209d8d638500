"""Twins in the report: states that the environment drew, and what each change of a variable does to the picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.actions import named_runs
from weakspot.artifacts.arrays import Array
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.artifacts.twins import Twin, Twins
from weakspot.report.films import FilmEncoder
from weakspot.report.images import Film, difference_uri
from weakspot.report.text import Fact, number, percent

SHOWN = 4
"""Changes of one twin, at most, that are shown as pictures, and runs of equal actions that are named."""
KINDS = {
    "recorded": "recorded: the agent was here",
    "reached": "reached: found by playing on from a recorded state",
    "edited": "edited: variables of the environment were changed in a recorded state",
}
"""What the kinds of twins are."""


@dataclass(frozen=True)
class EditPicture:
    """A change in words, and the newest frame with what it changes, as a data URI; empty if nothing is seen of it."""

    text: str
    uri: str


@dataclass(frozen=True)
class TwinCard:
    """A twin: its frames, what kind it is, its changes, changes beyond those shown, numbers, and the agent's scores (a,).

    ``kind`` says in words what ``kind_name`` means, and ``distance`` is the mean distance from the synthesised state.
    """

    film: Film
    kind_name: str
    kind: str
    distance: float
    edits: tuple[EditPicture, ...]
    more: str
    facts: tuple[Fact, ...]
    scores: Array


class TwinCards:
    """Makes the cards of the twins of one target.

    Args:
        twins: of the target.
        scores: the agent's scores in the twins, as displayed (n, a).
        environment: that drew them.
        films: encodes them.
    """

    def __init__(self, twins: Twins, scores: Array, environment: EnvironmentRecord, films: FilmEncoder) -> None:
        self._twins, self._scores, self._environment, self._films = twins, scores, environment, films
        counts = [len(twin.changes) for twin in twins.search.twins]
        self._first_change: list[int] = np.concatenate([[0], np.cumsum(counts)]).astype(int).tolist()

    def card(self, index: int) -> TwinCard | None:
        """The card of the twin of a synthesised state; None if it has none."""
        if index >= len(self._twins.search.twins) or not self._twins.search.twins[index].accepted:
            return None
        twin = self._twins.search.twins[index]
        alt = f"Twin of synthesised state {index + 1}, drawn by the environment. {KINDS[twin.kind]}."
        film = self._films.encode(self._twins.states[index], alt, f"twin, {twin.kind}", "twin")
        edits = tuple(
            EditPicture(change.text, self._picture(index, self._first_change[index] + place))
            for place, change in enumerate(twin.changes[:SHOWN])
        )
        more = ", ".join(change.text for change in twin.changes[SHOWN:])
        return TwinCard(
            film, twin.kind, KINDS[twin.kind], twin.distances.mean, edits, more, self._facts(twin), self._scores[index]
        )

    def missing(self, index: int) -> str:
        """Why a synthesised state has no twin; empty if it has one, or none was looked for."""
        search = self._twins.search
        if index >= len(search.twins) or search.twins[index].accepted:
            return ""
        twin = search.twins[index]
        problems = re.sub(r"-(?=\d)", "−", "; ".join(search.problems(twin)))
        return f"The best state that was found ({twin.kind}) is none: {problems}."

    def _picture(self, index: int, change: int) -> str:
        """The newest frame with one change alone, bright where the change is seen; empty if it is not."""
        return difference_uri(self._twins.unedited[index, -1], self._twins.alone[change], self._environment.channel_colours)

    def _facts(self, twin: Twin) -> tuple[Fact, ...]:
        facts = [
            Fact("distance of the twin", number(twin.distances.mean), "1: two real states of different moments"),
            Fact("T of the twin", number(twin.target), "the target’s value of the agent’s answers in the twin"),
        ]
        if twin.actions:
            after = "the changes" if twin.changes else "the recorded state"
            facts.append(Fact(f"played after {after}", played(twin.actions, self._environment.action_names), ""))
        if twin.unusual is not None:
            facts.append(Fact("less usual than", percent(twin.unusual), "of held-out real states"))
        return tuple(facts)


def played(actions: Sequence[int | tuple[float, ...]], names: Sequence[str]) -> str:
    """Actions in words, such as ``NOOP, 3 × FIRE``; their number if they are more than a few or continuous."""
    runs = named_runs(actions, names)
    if len(runs) > SHOWN or not all(isinstance(action, int) for action in actions):
        return f"{len(actions)} action{'s' if len(actions) > 1 else ''}"
    return ", ".join(name if count == 1 else f"{count} × {name}" for name, count in runs)


def kinds_text(twins: Sequence[Twin]) -> str:
    """How many twins are of each kind, such as ``4 recorded, 1 edited``."""
    counts = Counter(twin.kind for twin in twins)
    return ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])


def twins_sentence(twins: Twins | None) -> str:
    """How many synthesised states have twins, and of what kinds."""
    if twins is None:
        return ""
    found = [twin for twin in twins.search.twins if twin.accepted]
    total = len(twins.search.twins)
    start = f"{len(found)} of the first {total} synthesised states" if total > 1 else f"{len(found)} synthesised state"
    if not found:
        return (
            f"None of the first {total} synthesised states has a twin: no state of the environment was found that looks "
            "like it and that the agent sees alike."
        )
    beyond = sum(twins.search.is_beyond(twin.target) for twin in found)
    return (
        f"{start} {'has' if len(found) == 1 else 'have'} a twin, a state that the environment itself draws and from which "
        f"can be played on ({kinds_text(found)}); {beyond} of {len(found)} {'has' if beyond == 1 else 'have'} a lower "
        "target energy than all real training states."
    )

"""The states of a run that the explorer can start from, by references such as ``finding/t-minus/3``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.kept import Kept, KeptRecord, kept_ids, read_kept
from weakspot.artifacts.run import Run
from weakspot.artifacts.weaknesses import StartRecord
from weakspot.errors import ConfigError
from weakspot.ground.play import Route, route_to, route_to_twin
from weakspot.session import Session

SHOWN = 64
"""States of a source that are listed, at most."""
RECORDED = 32
"""Recorded states that are listed."""


@dataclass(frozen=True)
class Source:
    """A group of states: its name in references, what people call it, and the number of its states."""

    name: str
    label: str
    count: int


@dataclass(frozen=True)
class Place:
    """A state of the run.

    Attributes:
        reference: to it.
        label: what people call it.
        kind: ``synthesised``, ``twin`` or ``real``.
        stack: (k, h, w, c), uint8.
        latent: u of a synthesised state (z,), or None.
        route: that leads to it in the environment; None if none is known.
    """

    reference: str
    label: str
    kind: str
    stack: Array
    latent: Array | None
    route: Route | None


class States:
    """The states of a run.

    Args:
        run: the results.
        session: of the same run.
    """

    def __init__(self, run: Run, session: Session) -> None:
        self._run, self._session = run, session
        self._symbols = {run.findings[symbol].search.slug: symbol for symbol in run.findings}

    def sources(self) -> tuple[Source, ...]:
        """All groups that have states."""
        run = self._run
        found: list[Source] = []
        for slug, symbol in self._symbols.items():
            twins = run.twins.get(symbol)
            accepted = 0 if twins is None else sum(twin.accepted for twin in twins.search.twins)
            found.append(Source(f"twin/{slug}", f"Twins, {symbol}", accepted))
            found.append(Source(f"finding/{slug}", f"Synthesised, {symbol}", len(run.findings[symbol].states)))
        found.append(Source("weakness", "Weaknesses and other groups", len(self._weaknesses())))
        found.append(Source("recorded", "Recorded states", min(RECORDED, len(self._session.trained_on))))
        found.append(Source("kept", "Kept", len(kept_ids(run.folder))))
        return tuple(source for source in found if source.count)

    def list(self, source: str) -> Iterator[Place]:
        """The first states of a source.

        Raises:
            ConfigError: there is no such source.
        """
        kind, _, slug = source.partition("/")
        if kind == "recorded":
            indices = self._session.trained_on
            numbers: Sequence[object] = indices[np.linspace(0, len(indices) - 1, RECORDED).astype(int)].tolist()
        elif kind == "kept":
            numbers = kept_ids(self._run.folder)[::-1]
        elif kind == "weakness":
            numbers = range(len(self._weaknesses()))
        elif kind == "finding" and slug in self._symbols:
            numbers = range(len(self._run.findings[self._symbols[slug]].states))
        elif kind == "twin" and (twins := self._run.twins.get(self._symbols.get(slug, ""))):
            numbers = [twin.number for twin in twins.search.twins if twin.accepted]
        else:
            raise ConfigError(f"there is no source {source!r}", expected="one of the sources of this run")
        return (self.find(f"{source}/{number}") for number in numbers[:SHOWN])

    def find(self, reference: str) -> Place:
        """The state that a reference means.

        Raises:
            ConfigError: there is none.
            RunError: a result is damaged.
        """
        kind, _, rest = reference.partition("/")
        slug, _, number = rest.rpartition("/")
        if kind == "kept" and rest in kept_ids(self._run.folder):
            return self._kept(reference, read_kept(self._run.folder, rest, self._run.environment))
        if number.isdigit() and int(number) < 10**9:
            index = int(number)
            if kind == "recorded" and index < len(self._session.dataset):
                return self._recorded(reference, index)
            if kind == "weakness" and index < len(self._weaknesses()):
                return self._weakness(reference, index)
            if kind == "finding" and slug in self._symbols:
                place = self._finding(reference, self._symbols[slug], index)
            else:
                place = self._twin(reference, self._symbols.get(slug, ""), index) if kind == "twin" else None
            if place is not None:
                return place
        raise ConfigError(f"there is no state {reference!r}", expected="a state of this run", todo="choose one of the list")

    def _finding(self, reference: str, symbol: str, index: int) -> Place | None:
        findings = self._run.findings[symbol]
        if index >= len(findings.states):
            return None
        label = f"synthesised state {index + 1} for {symbol}"
        return Place(reference, label, "synthesised", findings.states[index], findings.latent[index], None)

    def _twin(self, reference: str, symbol: str, index: int) -> Place | None:
        twins = self._run.twins.get(symbol)
        if twins is None or index >= len(twins.search.twins):
            return None
        twin = twins.search.twins[index]
        label = f"twin of synthesised state {index + 1} for {symbol}, {twin.kind}"
        return Place(reference, label, "twin", twins.states[index], None, route_to_twin(twin))

    def _recorded(self, reference: str, index: int) -> Place:
        stack = self._session.dataset.stacks(np.array([index]))[0]
        return Place(reference, f"recorded state {index}", "real", stack, None, Route(index))

    def _weakness(self, reference: str, index: int) -> Place:
        rollouts = self._run.rollouts
        assert rollouts is not None
        start = self._weaknesses()[index]
        label = f"typical state of group {index + 1} ({rollouts.confirmation.weaknesses[index].verdict})"
        return Place(reference, label, "twin", rollouts.typical[index], None, route_to(start))

    def _kept(self, reference: str, kept: Kept) -> Place:
        record = kept.record
        latent = None if record.latent is None else np.asarray(record.latent, np.float32)
        kind = "synthesised" if latent is not None else "real"
        return Place(reference, record.note or record.origin, kind, kept.state, latent, self._route_to_end(record))

    def _route_to_end(self, record: KeptRecord) -> Route | None:
        """The route to the end of a clip in which no variable was changed."""
        if record.kind != "played" or record.edits:
            return None
        start = self.find(record.source).route
        return None if start is None else Route(start.start, start.changes, (*start.actions, *record.actions))

    def _weaknesses(self) -> tuple[StartRecord, ...]:
        """The most typical state of each group."""
        confirmation = self._run.confirmation
        return () if confirmation is None else tuple(weakness.states[0] for weakness in confirmation.weaknesses)

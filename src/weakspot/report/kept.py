"""What was kept in the explorer, in the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.kept import Kept
from weakspot.artifacts.run import Run
from weakspot.report.bars import Bars, bar_axes, displayed_scores, score_bars
from weakspot.report.films import Detail, FilmEncoder
from weakspot.report.images import Film


@dataclass(frozen=True)
class KeptCard:
    """Something that was kept: a state, or the end of a clip with the clip itself; its note, and the agent's scores."""

    link: str
    film: Film
    clip: Film | None
    note: str
    origin: str
    created: str
    edits: tuple[str, ...]
    bars: Bars


def kept_cards(run: Run, detail: Detail) -> tuple[KeptCard, ...]:
    """The cards of everything that was kept, oldest first."""
    if not run.kept:
        return ()
    scores = displayed_scores(np.stack([kept.scores for kept in run.kept]), run.agent)
    axes = bar_axes(scores, run.agent)
    films = FilmEncoder(run.environment, detail)
    return tuple(
        _card(kept, films, score_bars(run.environment.action_names, [row], axes, run.agent))
        for kept, row in zip(run.kept, scores, strict=True)
    )


def _card(kept: Kept, films: FilmEncoder, bars: Bars) -> KeptCard:
    record = kept.record
    kind = "synthesised" if record.kind == "synthesised" else "real"
    clip = None
    if len(kept.frames) > 1:
        shown = kept.frames[:: -(-len(kept.frames) // films.detail.clip)]
        clip = films.encode(shown, f"Clip: {record.origin}", "clip", "real")
    return KeptCard(
        link=f"kept-{record.id}",
        film=films.encode(kept.state, f"Kept: {record.origin}", record.kind, kind),
        clip=clip,
        note=record.note,
        origin=record.origin,
        created=record.created.replace("T", " ").replace("Z", " UTC"),
        edits=tuple(
            f"after {edit.decision} decisions: "
            + ", ".join(f"{name} set to {value:g}" for name, value in zip(edit.names, edit.changes.values(), strict=False))
            for edit in record.edits
        ),
        bars=bars,
    )

"""The report: one HTML file that needs nothing else, made from the artifacts of a run.

It computes nothing beyond counting, sorting and drawing. The page is rendered with autoescape, and a content security policy
forbids it all requests, scripts and style sheets but its own, so that names and notes are always shown as text.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from weakspot.artifacts.run import Run
from weakspot.report.attainment import attainments
from weakspot.report.charts import goggles_chart
from weakspot.report.config import Size
from weakspot.report.films import Detail
from weakspot.report.kept import kept_cards
from weakspot.report.overview import card_facts, key_figures, stage_bars
from weakspot.report.target import target_order, target_view
from weakspot.report.text import duration, flat, game_name, indices, interval_text, number
from weakspot.report.trust import (
    reconstruction_caption,
    reconstruction_cards,
    sample_cards,
    samples_caption,
    training_charts,
)
from weakspot.report.verdict import RULE, judge
from weakspot.report.weaknesses import weaknesses_view
from weakspot.system.files import make_folder, write_text

MAX_BYTES: dict[Size, int] = {"full": 15_000_000, "small": 2_000_000}
"""Size of the file above which it is made with less detail."""
DETAILS: dict[Size, tuple[Detail, ...]] = {
    "full": (Detail(4, 56, 60), Detail(8, 56, 45), Detail(8, 24, 30), Detail(16, 8, 20)),
    "small": (
        Detail(16, 8, 20),
        Detail(16, 0, 20, large=4),
        Detail(32, 0, 15, large=4, paths=False),
        Detail(32, 0, 10, large=2, paths=False),
        Detail(64, 0, 6, large=1, paths=False),
    ),
}
"""From the finest to the coarsest; the coarsest is used even if the report is then too large."""
LARGE_PIXELS, SMALL_PIXELS = 252, 168
"""Approximate widths of frames on the page. Each frame is enlarged by a whole number, so that its pixels stay square."""


def write_report(run: Run, output: Path, size: Size = "full") -> None:
    """Writes the report of a run to ``output`` (an HTML file), atomically.

    Args:
        run: the results.
        output: the file.
        size: decides how large the file may be, see :data:`MAX_BYTES`.

    Raises:
        RunError: an artifact is damaged.
        StorageError: ``output`` cannot be written.
    """
    page = ""
    for detail in DETAILS[size]:
        page = _page(run, detail)
        if len(page.encode()) <= MAX_BYTES[size]:
            break
    make_folder(output.parent)
    write_text(output, page)


def _page(run: Run, detail: Detail) -> str:
    environment = Environment(
        loader=PackageLoader("weakspot.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast("dict[str, Any]", environment.filters)  # pyright: ignore[reportUnknownMemberType]  # untyped in jinja2
    filters.update(
        number=number, duration=duration, interval=interval_text, indices=indices, twice=_twice, breakable=_breakable
    )
    width = run.environment.width
    return environment.get_template("report.html.j2").render(
        run=run,
        title=f"Weaknesses of {run.agent.name}",
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        agent=run.agent,
        game=game_name(run.environment.id),
        large=max(1, round(LARGE_PIXELS / width)),
        small=max(1, round(SMALL_PIXELS / width)),
        figures=key_figures(run),
        weaknesses=weaknesses_view(run, detail),
        kept=kept_cards(run, detail),
        targets=[target_view(run, symbol, detail) for symbol in target_order(run)],
        stages=stage_bars(run.seconds),
        card_facts=card_facts(run),
        flat=flat,
        **_trust(run, detail),
        **_static(),
    )


def _trust(run: Run, detail: Detail) -> dict[str, Any]:
    """What the verdict and the section about the state model need."""
    reconstructions, samples, states = run.reconstructions, run.samples, run.sample_states
    return {
        "verdict": judge(run),
        "rule": RULE,
        "training": training_charts(run.curves),
        "reconstructions": () if reconstructions is None else reconstruction_cards(reconstructions, run, detail),
        "reconstruction_caption": ""
        if reconstructions is None or run.fidelity is None
        else reconstruction_caption(reconstructions, run.agent, run.fidelity.states),
        "samples": () if states is None else sample_cards(states, run.environment, detail),
        "samples_caption": "" if samples is None else samples_caption(samples),
        "goggles": None if run.goggles is None else goggles_chart(run.goggles),
        "objects": () if run.fidelity is None else run.fidelity.objects,
        "attainments": attainments(run),
    }


def _static() -> dict[str, Any]:
    """Style and script, which the page contains, and the hashes that allow them."""
    folder = files("weakspot.report") / "static"
    style, script = (folder / "report.css").read_text("utf-8"), (folder / "report.js").read_text("utf-8")
    return {"style": Markup(style), "script": Markup(script), "style_hash": _hash(style), "script_hash": _hash(script)}


def _twice(text: str) -> tuple[str, str]:
    """The value of an option that is also its text."""
    return text, text


def _breakable(text: str) -> Markup:
    """A text whose lines may end after an underscore, as names of agents have them."""
    return Markup("_<wbr>").join(text.split("_"))


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

"""The report: one HTML file that needs nothing else, made from a run folder.

It computes nothing that is not in the artefacts; it counts, sorts and draws.  The page is rendered with autoescape and
forbids itself every request by a content security policy, so whatever stands in names and notes is shown as text.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from weakspot.artifacts.run import Run
from weakspot.report import view
from weakspot.report.charts import goggles_chart, interval_text, number
from weakspot.report.pictures import with_pictures
from weakspot.report.verdict import RULE, judge
from weakspot.system.files import make_folder, write_text

MOST_BYTES = 6_000_000
"""The file is made with less detail until it is smaller than this."""
DETAILS = (view.Detail(4, 32), view.Detail(8, 24), view.Detail(8, 8), view.Detail(16, 0))
"""From the finest to the coarsest; the last is taken whatever its size."""
LARGE_PIXELS, SMALL_PIXELS = 252, 168
"""About how wide frames are shown; each is enlarged by a whole number so that its pixels stay square and even."""


def write_report(run: Run, output: Path) -> None:
    """Writes the report of a run to ``output`` (an HTML file), atomically.

    Raises:
        StorageError: ``output`` cannot be written.
    """
    pictured = with_pictures(run)
    pages = (_page(pictured, detail) for detail in DETAILS)
    page = next((page for page in pages if len(page.encode()) <= MOST_BYTES), None) or _page(pictured, DETAILS[-1])
    make_folder(output.parent)
    write_text(output, page)


def _page(run: Run, detail: view.Detail) -> str:
    environment = Environment(
        loader=PackageLoader("weakspot.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, duration=view.duration, interval=interval_text, subscripts=view.subscripts)
    width = run.environment.width
    style, script = _static("report.css"), _static("report.js")
    return environment.get_template("report.html.j2").render(
        run=run,
        title=f"Weaknesses of {run.agent.name}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        agent=run.agent,
        game=game_name(run.environment.id),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        large=max(1, round(LARGE_PIXELS / width)),
        small=max(1, round(SMALL_PIXELS / width)),
        verdict=judge(run),
        rule=RULE,
        figures=view.key_figures(run),
        targets=[view.target_view(run, symbol, detail) for symbol in view.target_order(run)],
        training=view.training_charts(run.curves),
        reconstructions=view.reconstruction_cards(run.reconstructions, run, detail) if run.reconstructions else (),
        reconstruction_caption=view.reconstruction_caption(run.reconstructions, run.agent) if run.reconstructions else "",
        samples=view.sample_cards(run.samples, detail) if run.samples else (),
        samples_caption=view.samples_caption(run.samples) if run.samples else "",
        goggles=goggles_chart(run.goggles) if run.goggles else None,
        objects=run.fidelity.objects if run.fidelity else (),
        stages=view.stage_bars(run.seconds),
        card_facts=view.card_facts(run),
        flat=view.flat,
    )


def _static(name: str) -> str:
    return (files("weakspot.report") / "static" / name).read_text(encoding="utf-8")


def game_name(environment_id: str) -> str:
    """``Pong`` from ``PongNoFrameskip-v4`` or ``ALE/Pong-v5``; other names as they are, without their version."""
    name = environment_id.rsplit("/", 1)[-1].rsplit("-v", 1)[0]
    return name.removesuffix("NoFrameskip").removesuffix("Deterministic") or environment_id

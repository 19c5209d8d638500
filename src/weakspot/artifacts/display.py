"""How results are shown in notebooks: small pieces of HTML, in which every name is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array
    from weakspot.artifacts.findings import Findings
    from weakspot.artifacts.run import Run
    from weakspot.artifacts.weaknesses import Weakness

SHOWN, SCALE = 8, 2
"""States that are shown, at most, and how much their frames are enlarged."""


def run_html(run: Run) -> str:
    """Agent, score, weaknesses and the number of states of each target."""
    lines = [f"<b>{escape(run.agent.name)}</b> in {escape(run.environment.id)}"]
    if run.goggles is not None:
        scores = run.goggles.agent
        lines.append(f"score {scores.interval.mean:.4g}, mean of {len(scores.scores)} episodes")
    if run.confirmation is not None:
        found = "".join(f"<li>{weakness_html(weakness)}</li>" for weakness in run.weaknesses)
        lines.append(f"weaknesses: <ol>{found}</ol>" if found else "no weakness was confirmed")
    counts = ", ".join(f"{escape(symbol)} ({len(findings.states)})" for symbol, findings in run.findings.items())
    if counts:
        lines.append(f"synthesised states: {counts}")
    if run.report is not None:
        lines.append(f"report: <code>{escape(str(run.report))}</code>")
    return "<br>".join(lines)


def weakness_html(weakness: Weakness) -> str:
    """Verdict and sentence."""
    return f"<b>{escape(weakness.verdict)}</b>: {escape(weakness.sentence)}"


def findings_html(findings: Findings) -> str:
    """The first states, with their target energies."""
    count = len(findings.states)
    head = f"<b>{escape(findings.search.target)}</b>: {escape(findings.search.title)}, {count} states"
    cells = "".join(
        f'<td style="text-align:left">{_image(frame, f"state {number + 1}")}<br>T = {energy:.3g}</td>'
        for number, (frame, energy) in enumerate(
            zip(findings.states[:SHOWN, -1], findings.target[:SHOWN].tolist(), strict=True)
        )
    )
    return f"{head}<table><tr>{cells}</tr></table>"


def _image(frame: Array, alt: str) -> str:
    """A frame (h, w, c) as an image."""
    size: Sequence[int] = [SCALE * side for side in frame.shape[:2]]
    style = "image-rendering:pixelated"
    return f'<img src="{image_uri(frame)}" alt="{alt}" height="{size[0]}" width="{size[1]}" style="{style}">'


def image_uri(frame: Array) -> str:
    """A frame (h, w, c) as a data URI; of frames whose channels are not colours, the mean of the channels."""
    import cv2
    import numpy as np

    shown = frame[..., ::-1] if frame.shape[-1] == 3 else frame.mean(axis=-1).astype(np.uint8)
    encoded = base64.b64encode(cv2.imencode(".png", np.ascontiguousarray(shown))[1].tobytes()).decode()
    return f"data:image/png;base64,{encoded}"

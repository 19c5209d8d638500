"""A run as a recording for the viewer of Rerun: training curves, states with their twins, and clips along time lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.run import Run
from weakspot.errors import missing_extra
from weakspot.export.pictures import clips
from weakspot.report.images import in_colour
from weakspot.system.files import write_atomic

if TYPE_CHECKING:
    from rerun import RecordingStream

STEP, STATE, FRAME = "training step", "state", "frame"
"""Names of the time lines."""


def write_rerun(path: Path, run: Run) -> None:
    """Writes a recording (``.rrd``), which ``rerun FILE`` opens.

    Raises:
        ConfigError: the package rerun-sdk is not installed.
        StorageError: the file cannot be written.
    """
    try:
        import rerun
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "rerun") from error

    def write(temporary: Path) -> None:
        recording = rerun.RecordingStream("weakspot", recording_id=run.agent.fingerprint[:32])
        recording.save(temporary)
        _log(recording, run)
        recording.disconnect()  # writes what is left

    write_atomic(path, write)


def _log(recording: RecordingStream, run: Run) -> None:
    import rerun

    def picture(frame: Array) -> Any:
        colours = run.environment.channel_colours
        return rerun.Image(np.ascontiguousarray(frame if colours is None else in_colour(frame, colours)))

    for curve in run.curves:
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            recording.set_time(STEP, sequence=int(step))
            recording.log(f"training/{curve.name}", rerun.Scalars(value))
    recording.reset_time()
    for findings in run.findings.values():
        slug, twins = findings.search.slug, run.twins.get(findings.search.target)
        found = {twin.number for twin in twins.search.twins if twin.accepted} if twins else set[int]()
        for index, state in enumerate(findings.states):
            recording.set_time(STATE, sequence=index + 1)
            recording.log(f"targets/{slug}/synthesised", picture(state[-1]))
            recording.log(f"targets/{slug}/energy", rerun.Scalars(float(findings.target[index])))
            if twins and index in found:
                recording.log(f"targets/{slug}/twin", picture(twins.states[index, -1]))
            elif twins:  # otherwise the viewer would go on to show the twin of an earlier state
                recording.log(f"targets/{slug}/twin", rerun.Clear(recursive=False))
    recording.reset_time()
    for number, weakness in enumerate(run.confirmation.weaknesses if run.confirmation else (), start=1):
        text = rerun.TextDocument(f"{weakness.verdict}: {weakness.sentence}")
        recording.log(f"weaknesses/{number}/sentence", text, static=True)
    for clip in clips(run):
        for place, frame in enumerate(clip.frames):
            recording.set_time(FRAME, sequence=place)
            recording.log(f"clips/{clip.name}", picture(frame))

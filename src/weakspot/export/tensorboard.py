"""The numbers and pictures of every stage for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from weakspot.artifacts.run import Run
from weakspot.export.event_file import Picture, Scalar
from weakspot.export.pictures import png_of, states


def entries(run: Run) -> Iterator[Scalar | Picture]:
    """All curves, measures and states; tags begin with the name of the stage."""
    yield from _measures(run)
    for curve in run.curves:
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            if np.isfinite(value):
                yield Scalar(f"train/{curve.name}", int(step), float(value))
    for findings in run.findings.values():
        slug, energy = findings.search.slug, findings.energy
        for step in range(energy.shape[1]):
            alive = energy[:, step][np.isfinite(energy[:, step])]
            if len(alive):
                yield Scalar(f"synthesize/{slug}/energy", step, float(np.median(alive)))
        for number, value in enumerate(findings.target.tolist()):
            yield Scalar(f"synthesize/{slug}/target", number, float(value))
    for state in states(run):
        png, height, width = png_of(state.frames, run.environment.channel_colours)
        yield Picture(f"states/{state.name}", 0, png, height, width)


def _measures(run: Run) -> Iterator[Scalar]:
    """The measures that a stage has once."""
    if run.collection is not None:
        for number, score in enumerate(run.collection.episode_scores):
            yield Scalar("collect/episode_score", number, float(score))
    if run.fidelity is not None:
        yield Scalar("fidelity/same_action", 0, run.fidelity.same_action)
        yield Scalar("fidelity/kl", 0, run.fidelity.kl)
        for item in run.fidelity.objects:
            yield Scalar(f"fidelity/recall/{item.name}", 0, item.recall.mean)
    if run.goggles is not None:
        for name, scores in (("real_frames", run.goggles.agent), ("reconstructions", run.goggles.goggles)):
            for number, score in enumerate(scores.scores):
                yield Scalar(f"goggles/{name}", number, float(score))
    for twins in run.twins.values():
        for twin in twins.search.twins:
            yield Scalar(f"ground/{twins.search.target}/distance", twin.number, twin.distances.mean)
    for number, weakness in enumerate(run.confirmation.weaknesses if run.confirmation else ()):
        yield Scalar("confirm/lost", number, weakness.rate.share)
        yield Scalar("confirm/met", number, weakness.met.share)

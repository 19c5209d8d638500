"""Geometry of the charts; the templates turn it into SVG with HTML labels.

Positions are in percent of the plotting area, y downwards, so that a chart fills any width while its labels keep the size
of the text around them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.evidence import Goggles, Interval, Scores
from weakspot.artifacts.training import Curve
from weakspot.report.axis import Axis, Tick
from weakspot.report.text import interval_text, number, power

POINTS = 160
"""The most points of a line; longer ones are averaged in bins."""


@dataclass(frozen=True)
class Mark:
    """An SVG path and the CSS classes that paint it (``line``, ``band``, ``bar`` or ``dots``, and a colour)."""

    path: str
    style: str


@dataclass(frozen=True)
class Chart:
    """A chart to be drawn.

    Attributes:
        title: above it.
        x_label, y_label: quantity and unit.
        x_ticks, y_ticks: on the axes; y from the top.
        marks: from back to front.
        alt: the content in words, for screen readers.
    """

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    alt: str


@dataclass(frozen=True)
class IntervalRow:
    """One row of a chart of intervals: positions in percent, and the interval as text."""

    label: str
    kind: str
    mean: float
    low: float | None
    high: float | None
    dots: tuple[float, ...]
    text: str


@dataclass(frozen=True)
class IntervalChart:
    """Means with their intervals, one row each, on one axis."""

    rows: tuple[IntervalRow, ...]
    ticks: tuple[Tick, ...]
    x_label: str


@dataclass(frozen=True)
class Band:
    """The middle 80 % of some searches at some steps, and their median (s,)."""

    steps: Array
    low: Array
    median: Array
    high: Array


def energy_band(energy: Array) -> Band | None:
    """Energy over the steps of the searches; None if there is no energy.

    A search that has stopped keeps its last energy, so that every step shows all searches.

    Args:
        energy: (n, steps), NaN after a search has stopped.
    """
    started: Array = energy[np.isfinite(energy[:, 0])] if energy.size else energy
    if not started.size:
        return None
    steps = int(started.shape[1])
    last = np.maximum.accumulate(np.where(np.isfinite(started), np.arange(steps), 0), axis=1)
    filled = np.take_along_axis(started, last, axis=1)
    drawn = np.unique(np.linspace(0, steps - 1, POINTS).round().astype(int))
    return Band(drawn, *np.percentile(filled[:, drawn], [10, 50, 90], axis=0))


def energy_chart(energy: Array) -> Chart | None:
    """Energy over the steps of the searches (n, steps), see :func:`energy_band`; None if there is no energy."""
    band = energy_band(energy)
    if band is None:
        return None
    steps, low, middle, high = energy.shape[1], band.low, band.median, band.high
    x_axis, y_axis = Axis(0, max(1, steps - 1)), Axis.around(np.concatenate([low, high]))
    x = x_axis.percent(band.steps)
    outline = _line(np.concatenate([x, x[::-1]]), y_axis.percent(np.concatenate([low, high[::-1]]))) + "Z"
    return Chart(
        title="Energy during the search",
        x_label="step",
        y_label="energy E, lower is closer to the target",
        x_ticks=x_axis.ticks(),
        y_ticks=y_axis.ticks_from_top(),
        marks=(Mark(outline, "band synthesised"), Mark(_line(x, y_axis.percent(middle)), "line synthesised")),
        alt=f"The median energy goes from {number(middle[0])} to {number(middle[-1])} in {steps} steps.",
    )


def distribution_chart(real: Array, synthesised: Array) -> Chart:
    """Target energies of real states (m,) as a histogram, and of synthesised ones (n,) as dots below it, on one axis."""
    axis = Axis.around(np.concatenate([real, synthesised]))
    counts, edges = np.histogram(real, bins=48, range=(axis.low, axis.high))
    heights = 26 + 70 * counts / max(1, counts.max())
    left, right = axis.percent(edges[:-1]), axis.percent(edges[1:])
    bars = "".join(
        f"M{a:.2f} 74V{100 - h:.2f}H{b:.2f}V74Z"
        for a, b, h, count in zip(left, right, heights, counts, strict=True)
        if count
    )
    lowest = float(axis.percent([real.min()])[0])
    rows = 6 + 12 * ((np.argsort(np.argsort(synthesised)) * 0.618034) % 1)  # spread out so that equal ones stay visible
    return Chart(
        title="Target energy of real and synthesised states",
        x_label="target energy T, lower is closer to the target",
        y_label=f"{len(real):,} held-out real states above, {len(synthesised)} synthesised below",
        x_ticks=axis.ticks(5),
        y_ticks=(),
        marks=(
            Mark(bars, "bar real"),
            Mark(f"M{lowest:.2f} 0V100", "limit real"),
            Mark(_dots(axis.percent(synthesised), rows), "dots synthesised"),
        ),
        alt=f"Real states have a median target energy of {number(float(np.median(real)))} and a lowest of "
        f"{number(float(real.min()))}; synthesised ones a median of {number(float(np.median(synthesised)))}.",
    )


def training_chart(curve: Curve, title: str, y_label: str, share: bool) -> Chart:
    """One logged quantity over training; from 0 to 1 for shares, logarithmic if it spans more than a decade."""
    steps, values = _binned(curve.steps, curve.values)
    if share:
        y_axis = Axis(0.0, max(1.0, float(values.max())))
    elif values.min() > 0 and values.max() / values.min() > 10:
        y_axis, y_label = Axis.decades(values), f"{y_label} (logarithmic)" if y_label else "logarithmic"
    else:
        exponent = math.floor(math.log10(float(np.abs(values).max()) or 1.0))
        if not -2 <= exponent <= 4:  # keeps the labels short
            values = values / 10.0**exponent
            y_label = f"{y_label}, × {power(exponent)}" if y_label else f"× {power(exponent)}"
        y_axis = Axis(0.0, 1.05 * float(values.max())) if values.min() >= 0 and values.max() > 0 else Axis.around(values)
    x_axis = Axis(0, float(curve.steps.max()) or 1.0)
    x, y = x_axis.percent(steps), y_axis.percent(values)
    marks = [Mark(_line(x, y), "line reconstructed")]
    if len(x) <= 12:
        marks.append(Mark(_dots(x, y), "dots small reconstructed"))
    return Chart(
        title=title,
        x_label="training step",
        y_label=y_label,
        x_ticks=x_axis.ticks(3),
        y_ticks=y_axis.ticks_from_top(),
        marks=tuple(marks),
        alt=f"{title} goes from {number(curve.values[0])} to {number(curve.values[-1])} "
        f"in {int(curve.steps.max()):,} steps.",
    )


def goggles_chart(goggles: Goggles) -> IntervalChart:
    """Scores of all episodes with means and intervals, on real frames and on reconstructions."""
    intervals = (goggles.agent.interval, goggles.goggles.interval)
    ends = [end for interval in intervals for end in (interval.mean, interval.low, interval.high) if end is not None]
    axis = Axis.around([*goggles.agent.scores, *goggles.goggles.scores, *ends])
    rows = (
        _row(axis, "real frames", "real", goggles.agent),
        _row(axis, "reconstructions", "reconstructed", goggles.goggles),
    )
    return IntervalChart(rows, axis.ticks(5), "episode score")


def _row(axis: Axis, label: str, kind: str, scores: Scores) -> IntervalRow:
    def percent(value: float) -> float:
        return round(float(axis.percent([value])[0]), 2)

    interval: Interval = scores.interval
    return IntervalRow(
        label=label,
        kind=kind,
        mean=percent(interval.mean),
        low=None if interval.low is None else percent(interval.low),
        high=None if interval.high is None else percent(interval.high),
        dots=tuple(percent(score) for score in scores.scores),
        text=interval_text(interval),
    )


def _line(x: Array, y: Array) -> str:
    return "M" + "L".join(f"{a:.2f} {100 - b:.2f}" for a, b in zip(x, y, strict=True))


def _dots(x: Sequence[float] | Array, y: Sequence[float] | Array) -> str:
    return "".join(f"M{a:.2f} {100 - b:.2f}h0" for a, b in zip(x, y, strict=True))


def _binned(steps: Array, values: Array) -> tuple[Array, Array]:
    if len(steps) <= POINTS:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), POINTS)
    return np.array([steps[p].mean() for p in parts]), np.array([values[p].mean() for p in parts])

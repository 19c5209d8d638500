"""Geometry of the charts; the templates turn it into SVG with HTML labels.

Everything is in percent of the plotting area, y downwards, so that a chart fills whatever width it gets while its
labels stay as large as the text around them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.evidence import Goggles, Interval
from weakspot.artifacts.training import Curve

POINTS = 160
"""The most points a line is drawn with; longer ones are averaged in bins."""


@dataclass(frozen=True)
class Tick:
    """A label at ``position`` percent of an axis."""

    position: float
    label: str

    @property
    def long(self) -> bool:
        """Whether the label needs a wider margin."""
        return len(self.label) > 5


@dataclass(frozen=True)
class Mark:
    """An SVG path and the CSS class that paints it (``line``, ``band``, ``bar`` or ``dots``, and a colour)."""

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
        alt: what the chart shows, in words, for those who cannot see it.
    """

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    alt: str


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(exponent: int) -> str:
    """Such as ``10⁻⁴``."""
    return "10" + str(exponent).translate(SUPERSCRIPTS)


def number(value: float, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits, with a real minus sign and without a long tail of zeros."""
    if not math.isfinite(value):
        return "−∞" if value < 0 else "∞"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** max(digits, 4):
        text = f"{value:,.0f}"
    elif abs(value) < 1e-3:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        text = f"{mantissa} × {power(int(exponent))}" if mantissa != "1" else power(int(exponent))
    else:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{decimals}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


@dataclass(frozen=True)
class Axis:
    """A scale from ``low`` to ``high``; ``logarithmic`` ones take positive numbers only."""

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def around(cls, values: Sequence[float] | np.ndarray) -> Axis:
        """A linear axis a little wider than the values."""
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(low - margin, high + margin)

    @classmethod
    def decades(cls, values: np.ndarray) -> Axis:
        """A logarithmic axis a little wider than the values, which are all positive."""
        return cls(float(values.min()) / 1.2, float(values.max()) * 1.2, logarithmic=True)

    def place(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Percent along the axis, from its low end."""
        values = np.asarray(values, dtype=np.float64)
        if self.logarithmic:
            return 100 * (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return 100 * (values - self.low) / (self.high - self.low)

    def ticks(self, about: int = 4) -> tuple[Tick, ...]:
        """About ``about`` round numbers within the axis."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for factors in ((1,), (1, 3), (1, 2, 5)):
                places = [f * 10.0**p for p in powers for f in factors if self.low <= f * 10.0**p <= self.high]
                if len(places) >= 2:
                    break
            places = places[:: max(1, math.ceil(len(places) / 5))]
        else:
            rough = (self.high - self.low) / about
            magnitude = 10.0 ** math.floor(math.log10(rough))
            step = next(f * magnitude for f in (1, 2, 5, 10) if f * magnitude >= rough * 0.8)
            first = math.ceil(self.low / step - 1e-9)
            places = [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return tuple(Tick(round(float(self.place([p])[0]), 2), number(p, 6)) for p in places)

    def ticks_from_top(self) -> tuple[Tick, ...]:
        """The same for an upright axis."""
        return tuple(Tick(round(100 - tick.position, 2), tick.label) for tick in self.ticks())


def _line(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.2f} {100 - b:.2f}" for a, b in zip(x, y, strict=True))


def _dots(x: np.ndarray, y: np.ndarray) -> str:
    return "".join(f"M{a:.2f} {100 - b:.2f}h0" for a, b in zip(x, y, strict=True))


def _binned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(steps) <= POINTS:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), POINTS)
    return np.array([steps[p].mean() for p in parts]), np.array([values[p].mean() for p in parts])


def energy_chart(energy: np.ndarray) -> Chart | None:
    """Energy over the optimisation: median and the range of the middle 80 % of states; (n, steps), NaN after a stop.

    A state that has stopped keeps its last energy, so that the line is about all states at every step.
    """
    started = energy[np.isfinite(energy[:, 0])] if energy.size else energy
    if not started.size:
        return None
    last = np.maximum.accumulate(np.where(np.isfinite(started), np.arange(started.shape[1]), 0), axis=1)
    filled = np.take_along_axis(started, last, axis=1)
    shown = np.unique(np.linspace(0, filled.shape[1] - 1, POINTS).round().astype(int))
    low, middle, high = np.percentile(filled[:, shown], [10, 50, 90], axis=0)
    x_axis, y_axis = Axis(0, max(1, filled.shape[1] - 1)), Axis.around(np.concatenate([low, high]))
    x = x_axis.place(shown)
    outline = _line(np.concatenate([x, x[::-1]]), y_axis.place(np.concatenate([low, high[::-1]]))) + "Z"
    return Chart(
        title="Energy while optimising",
        x_label="optimisation step",
        y_label="energy E, lower is closer to the target",
        x_ticks=x_axis.ticks(),
        y_ticks=y_axis.ticks_from_top(),
        marks=(Mark(outline, "band synthesised"), Mark(_line(x, y_axis.place(middle)), "line synthesised")),
        alt=f"The median energy goes from {number(middle[0])} to {number(middle[-1])} in {filled.shape[1]} steps.",
    )


def distribution_chart(real: np.ndarray, synthesised: np.ndarray) -> Chart:
    """Target energies of real states as a histogram, and of synthesised ones as dots beneath it, on one axis."""
    axis = Axis.around(np.concatenate([real, synthesised]))
    counts, edges = np.histogram(real, bins=48, range=(axis.low, axis.high))
    heights = 26 + 70 * counts / max(1, counts.max())
    left, right = axis.place(edges[:-1]), axis.place(edges[1:])
    bars = "".join(
        f"M{a:.2f} 74V{100 - h:.2f}H{b:.2f}V74Z"
        for a, b, h, count in zip(left, right, heights, counts, strict=True)
        if count
    )
    lowest = float(axis.place([real.min()])[0])
    rows = 6 + 12 * ((np.argsort(np.argsort(synthesised)) * 0.618034) % 1)  # spread out so that equal ones stay visible
    return Chart(
        title="Target energy: real against synthesised",
        x_label="target energy T, lower is what the target asks for",
        y_label=f"{len(real):,} held-out real states above, {len(synthesised)} synthesised below",
        x_ticks=axis.ticks(5),
        y_ticks=(),
        marks=(
            Mark(bars, "bar real"),
            Mark(f"M{lowest:.2f} 0V100", "limit real"),
            Mark(_dots(axis.place(synthesised), rows), "dots synthesised"),
        ),
        alt=f"Real states have a median target energy of {number(float(np.median(real)))} and a lowest of "
        f"{number(float(real.min()))}; synthesised ones a median of {number(float(np.median(synthesised)))}.",
    )


def training_chart(curve: Curve, title: str, y_label: str, share: bool) -> Chart:
    """One logged quantity over training; from 0 to 1 for shares, logarithmic where it spans more than a decade."""
    steps, values = _binned(curve.steps, curve.values)
    if share:
        y_axis = Axis(0.0, max(1.0, float(values.max())))
    elif values.min() > 0 and values.max() / values.min() > 10:
        y_axis, y_label = Axis.decades(values), f"{y_label} (logarithmic)" if y_label else "logarithmic"
    else:
        exponent = math.floor(math.log10(float(np.abs(values).max()) or 1.0))
        if not -2 <= exponent <= 4:  # so that the labels stay short
            values = values / 10.0**exponent
            y_label = f"{y_label}, × {power(exponent)}" if y_label else f"× {power(exponent)}"
        y_axis = Axis(0.0, 1.05 * float(values.max())) if values.min() >= 0 and values.max() > 0 else Axis.around(values)
    x_axis = Axis(0, float(curve.steps.max()) or 1.0)
    x, y = x_axis.place(steps), y_axis.place(values)
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


@dataclass(frozen=True)
class IntervalRow:
    """One row of a chart of intervals: positions in percent, and the same in words."""

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


def interval_text(interval: Interval, unit: str = "") -> str:
    """Such as ``20.2 (19.5 to 20.7)``."""
    mean = f"{number(interval.mean)}{unit}"
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean} ({number(interval.low)} to {number(interval.high)}{unit})"


def _row(axis: Axis, label: str, kind: str, interval: Interval, dots: Sequence[float], text: str) -> IntervalRow:
    def place(value: float | None) -> float | None:
        return None if value is None else round(float(axis.place([value])[0]), 2)

    places = tuple(round(float(p), 2) for p in axis.place(dots))
    return IntervalRow(label, kind, place(interval.mean) or 0.0, place(interval.low), place(interval.high), places, text)


def goggles_chart(goggles: Goggles) -> IntervalChart:
    """Scores of every episode with means and intervals: real frames against reconstructions."""
    ends = [
        end for i in (goggles.agent.interval, goggles.goggles.interval) for end in (i.mean, i.low, i.high) if end is not None
    ]
    axis = Axis.around([*goggles.agent.scores, *goggles.goggles.scores, *ends])
    rows = (
        _row(
            axis, "real frames", "real", goggles.agent.interval, goggles.agent.scores, interval_text(goggles.agent.interval)
        ),
        _row(
            axis,
            "reconstructions",
            "reconstructed",
            goggles.goggles.interval,
            goggles.goggles.scores,
            interval_text(goggles.goggles.interval),
        ),
    )
    return IntervalChart(rows, axis.ticks(5), "episode score")

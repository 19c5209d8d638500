"""Axes of charts: positions of values in percent, and ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.arrays import Array
from weakspot.report.text import number


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
class Axis:
    """A scale from ``low`` to ``high``; both are positive if it is logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def around(cls, values: Sequence[float] | Array) -> Axis:
        """A linear axis a little wider than the values."""
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(low - margin, high + margin)

    @classmethod
    def decades(cls, values: Array) -> Axis:
        """A logarithmic axis a little wider than the values, which are all positive."""
        return cls(float(values.min()) / 1.2, float(values.max()) * 1.2, logarithmic=True)

    def percent(self, values: Sequence[float] | Array) -> Array:
        """Percent along the axis, from its low end."""
        array = np.asarray(values, dtype=np.float64)
        if self.logarithmic:
            return 100 * (np.log(array) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return 100 * (array - self.low) / (self.high - self.low)

    def ticks(self, about: int = 4) -> tuple[Tick, ...]:
        """About ``about`` round numbers within the axis."""
        numbers = self._round_powers() if self.logarithmic else self._round_steps(about)
        return tuple(Tick(round(float(self.percent([value])[0]), 2), number(value, 6)) for value in numbers)

    def ticks_from_top(self) -> tuple[Tick, ...]:
        """The ticks of a vertical axis, whose positions count from the top."""
        return tuple(Tick(round(100 - tick.position, 2), tick.label) for tick in self.ticks())

    def _round_powers(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        numbers: list[float] = []
        for factors in ((1,), (1, 3), (1, 2, 5)):
            numbers = [f * 10.0**p for p in powers for f in factors if self.low <= f * 10.0**p <= self.high]
            if len(numbers) >= 2:
                break
        return numbers[:: max(1, math.ceil(len(numbers) / 5))]

    def _round_steps(self, about: int) -> list[float]:
        rough = (self.high - self.low) / about
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = next(f * magnitude for f in (1, 2, 5, 10) if f * magnitude >= rough * 0.8)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

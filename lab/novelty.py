"""Table 2 of the paper: how many states differ from the closest training state in more than a percentage of their pixels.

The paper compares "frames" and counts "relative" differences; both can be read in two ways, and all four are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lab import intervals
from weakspot.analysis.novelty import closest, differing_share, differs_by_range, differs_relatively
from weakspot.session import Session
from weakspot.types import Stacks

PERCENTAGES = (10, 20, 30, 40, 50, 60, 70)
"""Percentages of pixels in table 2. Our copy of the arXiv text has its seven values without them; they follow from the five
that the ICLR table also has."""
PAPER = {10: 0.99, 20: 0.73, 30: 0.16, 40: 0.04, 50: 0.01, 60: 0.01, 70: 0.0}
"""Share of states that differ in more than each percentage of their pixels, in the paper."""
PAPER_MEAN = 0.25
"""Mean share of pixels that differ; section 4.8 of the paper."""
ALL_FRAMES, NEWEST_FRAME = "all frames", "newest frame"
BY_RANGE, RELATIVE = "of the range", "relative"
READINGS = {BY_RANGE: differs_by_range, RELATIVE: differs_relatively}
"""Whether 25 % is of the range of a colour, or of the colour of the training state."""


@dataclass(frozen=True)
class Differences:
    """The share of pixels in which states differ from the closest training state, read in four ways.

    Attributes:
        shares: (n,) for each part of a state and each reading.
    """

    shares: dict[tuple[str, str], np.ndarray]

    def record(self, generator: np.random.Generator) -> dict[str, dict[str, Any]]:
        """The rows of table 2, by part and reading, with intervals."""
        record: dict[str, dict[str, Any]] = {}
        for (part, reading), shares in self.shares.items():
            record.setdefault(part, {})[reading] = table_row(shares, generator)
        return record


def differences(session: Session, stacks: Stacks) -> Differences:
    """Compares stacks (n, k, h, w, c) with the closest training states.

    The closest one is searched for the whole stack and for the newest frame alone.
    """
    dataset, shares = session.dataset, {}
    parts = {
        ALL_FRAMES: (stacks, dataset.stacks),
        NEWEST_FRAME: (stacks[:, -1:], lambda chosen: dataset.newest(chosen)[:, None]),
    }
    for part, (compared, recorded) in parts.items():
        nearest = closest(compared, recorded, session.trained_on)
        for reading, differs in READINGS.items():
            shares[part, reading] = differing_share(compared, nearest.stacks, differs)
    return Differences(shares)


def table_row(shares: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """The number of states, the mean share of pixels that differ, and the share of states above each percentage."""
    above = {str(percent): intervals.share(shares > percent / 100) for percent in PERCENTAGES}
    return {"states": len(shares), "mean": intervals.mean(shares, generator), "shares": above}

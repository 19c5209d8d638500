"""Whether synthesised states show something more often than chance would have it.

A share of synthesised states says nothing by itself: if a quarter of all states show an empty tank, so do a quarter of
states that were chosen blindly.  The share is compared with that of real states, the base rate, and with that of random
samples of the same state model, which show what the model alone does to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lab import intervals


def enrichment(found: npt.ArrayLike, samples: npt.ArrayLike, real: npt.ArrayLike) -> dict[str, Any]:
    """Shares of flags in synthesised states, random samples and real states, and the ratios of the first to the others.

    Args:
        found: whether each synthesised state shows it (n,).
        samples: whether each random sample of the state model shows it (m,).
        real: whether each real state shows it (k,).

    Returns:
        The shares with Wilson's intervals, and the ratios with exact intervals of a ratio of rates; None where the other
        share is 0.  The intervals take all states as independent.  States of one search pool and consecutive real states
        are not, so they are rather too narrow.
    """
    return {
        "states": {"synthesised": _count(found), "random samples": _count(samples), "real": _count(real)},
        "synthesised": intervals.share(found),
        "random samples": intervals.share(samples),
        "real": intervals.share(real),
        "over real": _ratio(found, real),
        "over random samples": _ratio(found, samples),
    }


def _count(flags: npt.ArrayLike) -> int:
    return len(np.asarray(flags))


def _ratio(flags: npt.ArrayLike, others: npt.ArrayLike) -> intervals.IntervalOf | None:
    ours, theirs = np.asarray(flags, bool), np.asarray(others, bool)
    return intervals.rate_ratio(int(ours.sum()), len(ours), int(theirs.sum()), len(theirs))

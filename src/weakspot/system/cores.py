"""The processor cores that a process may use."""

from __future__ import annotations

import os

LIMIT = "WEAKSPOT_CORES"
"""Environment variable with the largest number of cores that a process of weakspot uses. Sweeps set it for their jobs."""


def usable_cores() -> int:
    """Cores that this process may use: those the system or a cluster gives it, at most :data:`LIMIT` of them."""
    cores = len(os.sched_getaffinity(0))
    limit = os.environ.get(LIMIT, "")
    return max(1, min(cores, int(limit))) if limit.isdecimal() else cores

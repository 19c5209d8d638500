"""What the processor can do."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from weakspot.options import Precision

UNITS = frozenset({"amx_bf16", "avx512_bf16"})
"""Flags of processors that multiply bfloat16 numbers in hardware: Cooper Lake, Sapphire Rapids, Zen 4 and later."""


def bfloat16_units(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The flags of the processor's units for bfloat16, as Linux reports them; empty if it has none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return frozenset()
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    return UNITS & flags


@lru_cache(maxsize=1)
def has_bfloat16_units(path: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 numbers in hardware."""
    return bool(bfloat16_units(path))


def cpu_format(precision: Precision) -> Literal["float32", "bfloat16"]:
    """The number format of matrix products on this machine's processor: bfloat16 for ``auto`` if it has units for it."""
    if precision == "auto":
        return "bfloat16" if has_bfloat16_units() else "float32"
    return precision

"""Numbers on the command lines of benchmarks and experiments; what cannot be is refused before anything takes long."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument that counts something; argparse says what was seen where it is less than ``least``."""

    def whole_number(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return whole_number


def positive(text: str) -> float:
    """The type of an argument that is a length of time."""
    number = float(text)
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no positive number")
    return number


def not_negative(text: str) -> float:
    """The type of an argument that is a weight."""
    number = float(text)
    if not 0.0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 up")
    return number

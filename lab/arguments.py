"""Command lines of benchmarks and experiments; numbers that cannot be are refused before anything takes long."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from weakspot.data.config import CollectConfig


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


def for_trainings(parser: argparse.ArgumentParser, minutes: float) -> None:
    """The arguments of benchmarks that train state models on the stored states of an agent, for ``minutes`` by default."""
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--frames", type=at_least(1), default=CollectConfig().frames, help="states to train and measure on")
    parser.add_argument(
        "--cpu-minutes",
        type=positive,
        default=minutes,
        help="of each training that does not stand yet, all cores together",
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/fidelity"))

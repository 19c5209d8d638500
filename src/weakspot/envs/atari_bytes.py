"""What bytes of the memory mean in some Atari games, for people: nothing is computed from it.

The meanings were measured: over random play, each byte follows what the screen shows (``tests/test_atari_bytes.py``).  Most
are known from the annotations of Anand et al. (2019), "Unsupervised State Representation Learning in Atari".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from weakspot.envs.editable import Variable

RAM = 128
"""Size of the Atari's memory in bytes."""

MEANINGS: Mapping[str, Mapping[int, str]] = {
    "atlantis": {113: "lives"},
    "boxing": {
        18: "own points",
        19: "other side's points",
        32: "own column",
        33: "other side's column",
        34: "own row",
        35: "other side's row",
    },
    "breakout": {57: "lives", 72: "paddle's column", 99: "ball's column", 101: "ball's row"},
    "ms_pacman": {10: "own column", 16: "own row", 123: "lives"},
    "pong": {
        13: "other side's points",
        14: "own points",
        49: "ball's column",
        50: "other paddle's row",
        51: "own paddle's row",
        54: "ball's row",
    },
    "qbert": {43: "own column", 67: "own row"},
    "seaquest": {59: "lives", 70: "own column", 97: "own row", 102: "oxygen"},
    "space_invaders": {16: "enemies' row", 17: "enemies left", 28: "own column", 73: "lives"},
}
"""By game and number of the byte."""


@cache
def bytes_of(game: str) -> tuple[Variable, ...]:
    """The variables of a game: the bytes of its memory, such as ``byte 102 (oxygen)``."""
    meanings = MEANINGS.get(game, {})
    names = [f"byte {number} ({meanings[number]})" if number in meanings else f"byte {number}" for number in range(RAM)]
    return tuple(Variable(name, 0, 255, whole=True) for name in names)

"""Whether a frame of Pong could be one: at most one ball, a paddle on each side, nothing doubled or smeared.

Read off the picture alone, since synthesised states have no emulator memory.  The bounds are those that real frames
keep, with some room; how many real states pass stands beside every share that is quoted.  (Not all do: at a serve the left
paddle jumps, and the pixel maximum over two emulator frames shows it twice.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from weakspot.analysis.objects.pong_ball import BLUE, FIELD, SCREEN_HEIGHT, SCREEN_WIDTH, positions
from weakspot.types import Frames, Stacks

PADDLES = {"left": (16, 20), "right": (140, 144)}
"""Columns of the screen that the paddles move in."""
PADDLE_HEIGHT = 16
BALL_AREA = 2 * 4
FIELD_COLOUR = np.array([144.0, 72.0, 17.0])
PADDLE_COLOURS = {"left": np.array([213.0, 130.0, 74.0]), "right": np.array([92.0, 186.0, 92.0])}
WHITE = 236.0

NOTHING = 0.1
"""Shares of an object's colour in a pixel that count as none: fainter than anyone would see."""
REACH = 3
"""Pixels around its brightest one that belong to a ball."""
STRAY = 0.35
"""Light outside the ball that is let pass, in balls."""
THERE = 0.3
"""Balls or paddle columns from which on an object counts as being there."""
FAINTEST_PEAK = 0.35
"""The brightest pixel of a ball, at least; white is 1."""
LARGEST_BALL = 2.7
"""Balls: two where the pixel maximum over two frames shows it twice, and some room."""
PADDLE_HEIGHTS = (0.75, 1.9)
"""Heights of a paddle that is clear of both bands, in paddles; the pixel maximum makes a moving one taller."""
PADDLE_STRAY = 0.25
"""Paddle colour outside the paddle's one piece that is let pass, in paddles."""


@dataclass(frozen=True)
class PongChecks:
    """What was checked, one row a state; every frame of the stack has to pass.

    Attributes:
        one_ball: no second ball, and no light strewn about.
        sharp: the ball, if there is one, is bright and not too large.
        left, right: the paddle is one piece of a paddle's height, or leaves the picture; the left one may be missing
            while there is no ball, as in the game before a serve.
    """

    one_ball: Bool[np.ndarray, " n"]
    sharp: Bool[np.ndarray, " n"]
    left: Bool[np.ndarray, " n"]
    right: Bool[np.ndarray, " n"]

    @property
    def valid(self) -> Bool[np.ndarray, " n"]:
        """Everything holds."""
        return self.one_ball & self.sharp & self.left & self.right

    def line(self) -> dict[str, float]:
        """Share of states that pass each check, and all of them."""
        names = ("one_ball", "sharp", "left", "right", "valid")
        return {name: round(float(getattr(self, name).mean()), 4) for name in names}


def pong_checks(stacks: Stacks) -> PongChecks:
    """Checks every frame of the states ``stacks`` (n, k, h, w, 3)."""
    passed = [_frame(stacks[:, i]) for i in range(stacks.shape[1])]
    return PongChecks(*(np.logical_and.reduce([frame[what] for frame in passed]) for what in range(4)))


def find(frames: Frames, ram: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Windows of the ball, by the emulator's memory (n, 128), and of both paddles, by their colours in real frames; see
    :mod:`weakspot.analysis.objects.finders`."""
    height, width = frames.shape[1:3]
    down, across = height / SCREEN_HEIGHT, width / SCREEN_WIDTH
    x, y, there = positions(ram, height, width)
    half = np.array([across, 2.0 * down])
    centres = np.stack([x, y], axis=1)
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    windows = {"ball": _shown(boxes, np.asarray(there))}
    top = int(np.ceil(FIELD[0] * down))
    field = frames[:, top : int(FIELD[1] * down)].astype(np.float64)
    for name, side in (("own paddle", "right"), ("opponent's paddle", "left")):
        covered = _cover(field, side, across) > THERE
        rows, (first, last) = _longest(covered), PADDLES[side]
        boxes = np.empty((len(frames), 4))
        boxes[:, 0], boxes[:, 2] = first * across, last * across
        boxes[:, 1], boxes[:, 3] = top + rows[:, 0], top + rows[:, 1] + 1
        windows[name] = _shown(boxes, np.asarray(covered.any(axis=1)))
    return windows


def _shown(boxes: np.ndarray, there: np.ndarray) -> list[np.ndarray]:
    """One box, or none, for each frame."""
    return [boxes[i : i + int(seen)] for i, seen in enumerate(there.tolist())]


def _frame(frames: Frames) -> tuple[np.ndarray, ...]:
    height, width = frames.shape[1:3]
    rows, columns = height / SCREEN_HEIGHT, width / SCREEN_WIDTH
    field = frames[:, int(np.ceil(FIELD[0] * rows)) : int(FIELD[1] * rows)].astype(np.float64)
    one_ball, sharp, there = _ball(field, BALL_AREA * rows * columns, columns)
    left, right = _cover(field, "left", columns), _cover(field, "right", columns)
    gone = left.max(axis=1) < THERE
    return one_ball, sharp, _paddle(left, rows) | (gone & ~there), _paddle(right, rows)


def _ball(field: Float[np.ndarray, "n h w c"], area: float, columns: float) -> tuple[np.ndarray, ...]:
    """Whether there is one ball at most, whether it is sharp, and whether there is any."""
    light = ((field[..., BLUE] - FIELD_COLOUR[BLUE]) / (WHITE - FIELD_COLOUR[BLUE])).clip(0.0, None)
    for first, last in PADDLES.values():
        light[:, :, int(first * columns) - 1 : int(np.ceil(last * columns)) + 1] = 0.0
    light[light < NOTHING] = 0.0
    n, height, width = light.shape
    row, column = np.divmod(light.reshape(n, -1).argmax(axis=1), width)
    near = (np.abs(np.arange(height)[None, :, None] - row[:, None, None]) <= REACH) & (
        np.abs(np.arange(width)[None, None, :] - column[:, None, None]) <= REACH
    )
    ball = (light * near).sum(axis=(1, 2)) / area
    stray = (light * ~near).sum(axis=(1, 2)) / area
    there = ball >= THERE
    sharp = ~there | ((light.max(axis=(1, 2)) >= FAINTEST_PEAK) & (ball <= LARGEST_BALL))
    return stray <= STRAY, sharp, there


def _cover(field: Float[np.ndarray, "n h w c"], side: str, columns: float) -> Float[np.ndarray, "n h"]:
    """How much of each row the paddle covers, in paddle widths; a ball in front of it or beside it is told apart.

    A pixel is field + a (paddle - field) + b (white - field) in the least-squares sense; a is the paddle's share.
    """
    first, last = PADDLES[side]
    directions = np.stack([PADDLE_COLOURS[side] - FIELD_COLOUR, WHITE - FIELD_COLOUR])
    share = np.linalg.pinv(directions)[:, 0]
    band = field[:, :, int(first * columns) : int(np.ceil(last * columns))] - FIELD_COLOUR
    paddle = (band @ share).clip(0.0, 1.0)
    paddle[paddle < NOTHING] = 0.0
    return paddle.sum(axis=2) / ((last - first) * columns)


def _paddle(cover: Float[np.ndarray, "n h"], rows: float) -> np.ndarray:
    """Whether a paddle that covers so much of each row is one piece of the right height, or reaches out of the picture."""
    height = cover.shape[1]
    covered = cover > THERE
    top, bottom = covered.argmax(axis=1), height - 1 - covered[:, ::-1].argmax(axis=1)
    at = np.arange(height)[None, :]
    piece = _longest(covered)
    inside = (cover * ((at >= piece[:, :1]) & (at <= piece[:, 1:]))).sum(axis=1) / (PADDLE_HEIGHT * rows)
    outside = cover.sum(axis=1) / (PADDLE_HEIGHT * rows) - inside
    leaves = (top == 0) | (bottom == height - 1)
    long_enough = (inside >= PADDLE_HEIGHTS[0]) | leaves
    return covered.any(axis=1) & long_enough & (inside <= PADDLE_HEIGHTS[1]) & (outside <= PADDLE_STRAY)


def _longest(covered: Bool[np.ndarray, "n h"]) -> np.ndarray:
    """First and last row of the longest run of covered ones (n, 2)."""
    n, height = covered.shape
    length = np.zeros((n, height), dtype=np.int64)
    length[:, 0] = covered[:, 0]
    for i in range(1, height):
        length[:, i] = (length[:, i - 1] + 1) * covered[:, i]
    last = length.argmax(axis=1)
    return np.stack([last - length[np.arange(n), last] + 1, last], axis=1)

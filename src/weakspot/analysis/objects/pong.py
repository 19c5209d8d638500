"""Plausibility of frames of Pong: at most one ball, a paddle on each side, nothing doubled or smeared.

The checks use only the image, since synthesised states have no emulator memory.  Their bounds hold for real frames, with
some margin; every share of states that pass is reported with that of real states.  (Not all of those pass: at a serve the
left paddle jumps, and the pixel maximum over two emulator frames shows it twice.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from weakspot.analysis.objects.pong_ball import BLUE, FIELD, SCREEN_HEIGHT, SCREEN_WIDTH, positions
from weakspot.types import Frames, Stacks

PADDLES = {"left": (16, 20), "right": (140, 144)}
"""First and last column (exclusive) of each paddle on the screen."""
PADDLE_HEIGHT = 16
BALL_AREA = 2 * 4
"""Pixels of the ball on the screen."""
FIELD_COLOUR = np.array([144.0, 72.0, 17.0])
PADDLE_COLOURS = {"left": np.array([213.0, 130.0, 74.0]), "right": np.array([92.0, 186.0, 92.0])}
WHITE = 236.0

MIN_BRIGHTNESS = 0.1
"""Smaller shares of an object's colour in a pixel count as none; they are too faint to see."""
REACH = 3
"""Distance from its brightest pixel, in rows and columns, up to which pixels belong to a ball."""
MAX_OUTSIDE = 0.35
"""Maximum brightness outside the ball, in balls."""
MIN_SIZE = 0.3
"""Minimum size of an object that counts as present, in balls, or in paddle widths of a row."""
MIN_PEAK = 0.35
"""Minimum brightness of the brightest pixel of a ball; white is 1."""
MAX_BALL_SIZE = 2.7
"""Maximum size of a ball, in balls; the pixel maximum over two frames can show it twice."""
PADDLE_HEIGHTS = (0.75, 1.9)
"""Range of the height of a paddle away from both bands, in paddles; the pixel maximum makes a moving one taller."""
MAX_PADDLE_OUTSIDE = 0.25
"""Maximum amount of paddle colour outside the paddle, in paddles."""


@dataclass(frozen=True)
class PongChecks:
    """Results of the checks, one row per state; every frame of the stack has to pass.

    Attributes:
        one_ball: no second ball, and no scattered bright pixels.
        sharp: the ball, if there is one, is bright and not too large.
        left, right: the paddle is one piece of a paddle's height, or is cut off by the edge of the field; the left one may
            be missing while there is no ball, as in the game before a serve.
    """

    one_ball: Bool[np.ndarray, " n"]
    sharp: Bool[np.ndarray, " n"]
    left: Bool[np.ndarray, " n"]
    right: Bool[np.ndarray, " n"]

    @property
    def valid(self) -> Bool[np.ndarray, " n"]:
        """Whether all checks pass."""
        return self.one_ball & self.sharp & self.left & self.right

    def line(self) -> dict[str, float]:
        """Share of states that pass each check, and all of them (``valid``), rounded to 4 digits."""
        names = ("one_ball", "sharp", "left", "right", "valid")
        return {name: round(float(getattr(self, name).mean()), 4) for name in names}


def pong_checks(stacks: Stacks) -> PongChecks:
    """Checks every frame of the states ``stacks`` (n, k, h, w, 3)."""
    passed = [_check_frames(stacks[:, i]) for i in range(stacks.shape[1])]
    return PongChecks(*(np.logical_and.reduce([frame[check] for frame in passed]) for check in range(4)))


def find(frames: Frames, ram: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Windows of the ball, by the emulator's memory (n, 128), and of both paddles, by their colours in real frames; see
    :mod:`weakspot.analysis.objects.finders`."""
    height, width = frames.shape[1:3]
    down, across = height / SCREEN_HEIGHT, width / SCREEN_WIDTH
    x, y, visible = positions(ram, height, width)
    half = np.array([across, 2.0 * down])
    centres = np.stack([x, y], axis=1)
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    windows = {"ball": _one_box(boxes, visible)}
    top = int(np.ceil(FIELD[0] * down))
    field = frames[:, top : int(FIELD[1] * down)].astype(np.float64)
    for name, side in (("own paddle", "right"), ("opponent's paddle", "left")):
        covered: Bool[np.ndarray, "n h"] = _cover(field, side, across) > MIN_SIZE
        rows, (first, last) = _longest_run(covered), PADDLES[side]
        boxes = np.empty((len(frames), 4))
        boxes[:, 0], boxes[:, 2] = first * across, last * across
        boxes[:, 1], boxes[:, 3] = top + rows[:, 0], top + rows[:, 1] + 1
        windows[name] = _one_box(boxes, np.asarray(covered.any(axis=1)))
    return windows


def _one_box(boxes: np.ndarray, visible: np.ndarray) -> list[np.ndarray]:
    """The box (1, 4) of each frame, or none (0, 4) if the object is not visible."""
    return [boxes[i : i + int(is_visible)] for i, is_visible in enumerate(visible.tolist())]


def _check_frames(frames: Frames) -> tuple[np.ndarray, ...]:
    """The four checks of :class:`PongChecks` for single frames (n, h, w, 3)."""
    height, width = frames.shape[1:3]
    rows, columns = height / SCREEN_HEIGHT, width / SCREEN_WIDTH
    field = frames[:, int(np.ceil(FIELD[0] * rows)) : int(FIELD[1] * rows)].astype(np.float64)
    one_ball, sharp, has_ball = _check_ball(field, BALL_AREA * rows * columns, columns)
    left, right = _cover(field, "left", columns), _cover(field, "right", columns)
    no_left_paddle = left.max(axis=1) < MIN_SIZE
    return one_ball, sharp, _check_paddle(left, rows) | (no_left_paddle & ~has_ball), _check_paddle(right, rows)


def _check_ball(field: Float[np.ndarray, "n h w c"], area: float, columns: float) -> tuple[np.ndarray, ...]:
    """Whether there is at most one ball, whether it is sharp, and whether there is any."""
    light = white_light(field, columns, margin=1)
    n, height, width = (int(size) for size in light.shape)
    row, column = np.divmod(light.reshape(n, -1).argmax(axis=1), width)
    near = (np.abs(np.arange(height)[None, :, None] - row[:, None, None]) <= REACH) & (
        np.abs(np.arange(width)[None, None, :] - column[:, None, None]) <= REACH
    )
    ball = (light * near).sum(axis=(1, 2)) / area
    outside = (light * ~near).sum(axis=(1, 2)) / area
    has_ball = ball >= MIN_SIZE
    sharp = ~has_ball | ((light.max(axis=(1, 2)) >= MIN_PEAK) & (ball <= MAX_BALL_SIZE))
    return outside <= MAX_OUTSIDE, sharp, has_ball


def white_light(field: Float[np.ndarray, "n h w c"], columns: float, margin: int) -> Float[np.ndarray, "n h w"]:
    """How white each pixel of fields is, from 0 to 1; 0 where it is too faint to see, and in the columns of both paddles.

    Args:
        field: the frames between the two bands.
        columns: columns of a frame over those of the screen.
        margin: further columns that are 0 on both sides of a paddle.
    """
    light = ((field[..., BLUE] - FIELD_COLOUR[BLUE]) / (WHITE - FIELD_COLOUR[BLUE])).clip(0.0, None)
    for first, last in PADDLES.values():
        light[:, :, int(first * columns) - margin : int(np.ceil(last * columns)) + margin] = 0.0
    light[light < MIN_BRIGHTNESS] = 0.0
    return light


def _cover(field: Float[np.ndarray, "n h w c"], side: str, columns: float) -> Float[np.ndarray, "n h"]:
    """How much of each row the paddle covers, in paddle widths, without a ball in front of it or next to it.

    A pixel is field + a (paddle - field) + b (white - field) in the least-squares sense; a is the paddle's share.
    """
    first, last = PADDLES[side]
    directions = np.stack([PADDLE_COLOURS[side] - FIELD_COLOUR, WHITE - FIELD_COLOUR])
    share = np.linalg.pinv(directions)[:, 0]
    band = field[:, :, int(first * columns) : int(np.ceil(last * columns))] - FIELD_COLOUR
    paddle = (band @ share).clip(0.0, 1.0)
    paddle[paddle < MIN_BRIGHTNESS] = 0.0
    return paddle.sum(axis=2) / ((last - first) * columns)


def _check_paddle(cover: Float[np.ndarray, "n h"], rows: float) -> Bool[np.ndarray, " n"]:
    """Whether a paddle, given how much of each row it covers, is one piece of the right height or cut off by the edge."""
    height = int(cover.shape[1])
    covered: Bool[np.ndarray, "n h"] = cover > MIN_SIZE
    top, bottom = covered.argmax(axis=1), height - 1 - covered[:, ::-1].argmax(axis=1)
    row = np.arange(height)[None, :]
    piece = _longest_run(covered)
    inside = (cover * ((row >= piece[:, :1]) & (row <= piece[:, 1:]))).sum(axis=1) / (PADDLE_HEIGHT * rows)
    outside = cover.sum(axis=1) / (PADDLE_HEIGHT * rows) - inside
    cut_off = (top == 0) | (bottom == height - 1)
    long_enough = (inside >= PADDLE_HEIGHTS[0]) | cut_off
    return covered.any(axis=1) & long_enough & (inside <= PADDLE_HEIGHTS[1]) & (outside <= MAX_PADDLE_OUTSIDE)


def _longest_run(covered: Bool[np.ndarray, "n h"]) -> np.ndarray:
    """First and last row of the longest run of covered rows (n, 2)."""
    n, height = covered.shape
    length = np.zeros((n, height), dtype=np.int64)
    length[:, 0] = covered[:, 0]
    for i in range(1, height):
        length[:, i] = (length[:, i - 1] + 1) * covered[:, i]
    last = length.argmax(axis=1)
    return np.stack([last - length[np.arange(n), last] + 1, last], axis=1)

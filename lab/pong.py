"""Pong: where the ball is, read off a frame, so that synthesised states, which have no memory, can be judged as well."""

from __future__ import annotations

import numpy as np

from weakspot.analysis.objects.pong import MIN_PEAK, PADDLES, white_light
from weakspot.analysis.objects.pong_ball import FIELD, OFFSET_X, RAM_X, RAM_Y, SCREEN_HEIGHT, SCREEN_WIDTH
from weakspot.types import Frames

BEHIND_OWN, BEHIND_OTHER, IN_FIELD, NONE = "behind its own paddle", "behind the opponent's paddle", "between them", "no ball"
PLACES = (BEHIND_OWN, BEHIND_OTHER, IN_FIELD, NONE)
"""Where the ball can be; one that cannot be told from a paddle counts as none. The agent's own paddle is the right one."""
BALL_WIDTH = 2
REACH = 1
"""Columns and rows of the downscaled frame around the brightest pixel that belong to the ball."""


def ball_columns(frames: Frames) -> np.ndarray:
    """The ball's column on the emulator's screen in frames of Pong (n, h, w, 3), in pixels (n,); NaN where none is seen.

    The ball is the brightest white pixel of the field that lies outside the columns of both paddles, with its neighbours.
    """
    height, width = frames.shape[1:3]
    down, across = height / SCREEN_HEIGHT, width / SCREEN_WIDTH
    field = frames[:, int(np.ceil(FIELD[0] * down)) : int(FIELD[1] * down)].astype(np.float64)
    return np.array([_brightest_column(picture) for picture in white_light(field, across, margin=0)]) / across


def _brightest_column(light: np.ndarray) -> float:
    """The mean column of the light around the brightest pixel of a picture (h, w), NaN if nothing is bright enough."""
    row, column = np.unravel_index(light.argmax(), light.shape)
    if light[row, column] < MIN_PEAK:
        return np.nan
    rows = slice(max(row - REACH, 0), row + REACH + 1)
    columns = np.arange(max(column - REACH, 0), min(column + REACH + 1, light.shape[1]))
    return float(np.average(columns + 0.5, weights=light[rows, columns].sum(axis=0)))


def ball_places(frames: Frames) -> np.ndarray:
    """Where the ball is in frames of Pong (n, h, w, 3): one of ``PLACES`` for each frame (n,)."""
    return _places(ball_columns(frames))


def places_in_memory(ram: np.ndarray) -> np.ndarray:
    """Where the ball is by the emulator's memory (n, 128): one of ``PLACES`` for each state (n,)."""
    columns = ram[:, RAM_X].astype(np.float64) + OFFSET_X + BALL_WIDTH / 2
    hidden = [(columns >= first) & (columns < last) for first, last in PADDLES.values()]
    columns[(ram[:, RAM_Y] == 0) | np.logical_or.reduce(hidden)] = np.nan
    return _places(columns)


def _places(columns: np.ndarray) -> np.ndarray:
    """The place of each ball, from its column on the screen (n,); NaN where there is none."""
    places = np.full(len(columns), IN_FIELD, dtype=object)
    places[np.isnan(columns)] = NONE
    places[columns >= PADDLES["right"][1]] = BEHIND_OWN
    places[columns < PADDLES["left"][0]] = BEHIND_OTHER
    return places

"""Whether the objects of a game survive reconstruction, for games whose objects can be found in a real state.

Where an object is in the real frame is read off the emulator's memory, or off the picture, by its colour or by its semantic
class, in which case only the channel of that class is looked at. With m the median frame, s the real frame and r the
reconstruction, an object in a window W of the frame *stands* where, for some shift d of at most two pixels,

    sum_W (r(. + d) - m(. + d)) (s - m)  >=  1/2 sum_W (s - m)^2

that is, where at least half of what makes it stand out from the background is there, two pixels away at most.  An object
that hardly differs from the background in the real frame is not counted: it is hidden, or was there in memory only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from weakspot.analysis.objects import classes, pong, qbert, seaquest
from weakspot.analysis.objects.pong_ball import REACH, ball_recall, is_pong
from weakspot.analysis.objects.recall import Recall
from weakspot.envs.atari import RAM
from weakspot.envs.base import EnvironmentSpec
from weakspot.games import is_game
from weakspot.types import Frames

LEAST_CONTRAST = 15.0
"""Root mean square, over an object's window, of how much it must differ from the background to be counted; of 255."""

Windows = dict[str, list[np.ndarray]]
"""For each kind of object and each frame, the windows (m, 4) of its objects: left, top, right, bottom in pixels of the
small frame, the last two exclusive."""

Finder = Callable[[Frames, np.ndarray], Windows]
"""Finds the objects of real frames (n, h, w, 3) with the emulator's memory (n, 128)."""

FINDERS: dict[str, Finder] = {
    "Pong": pong.find,
    "Seaquest": seaquest.find,
    "Qbert": qbert.find,
}
"""By the title of the game."""


def finder(environment: str) -> Finder | None:
    """What finds the objects of an environment, if its objects are known."""
    return next((find for title, find in FINDERS.items() if is_game(environment, title)), None)


def recalls(environment: EnvironmentSpec, real: Frames, reconstructed: Frames, ram: np.ndarray) -> dict[str, Recall]:
    """Recall of each kind of object that is known in an environment and visible in these frames.

    Args:
        environment: what is known of it.
        real, reconstructed: newest frames (n, h, w, c) of the same states.
        ram: the emulator's memory at these states (n, 128); without it, or with another, no object of a game is known.
    """
    channels = tuple(environment.preprocessing.get("channels", ()))
    if classes.has_classes(channels):
        found = _class_recalls(real, reconstructed, channels)
    elif ram.shape[1] != RAM:
        found = {}
    elif is_pong(environment.id):
        found = {"ball": ball_recall(real, reconstructed, ram)}
    elif (find := finder(environment.id)) is not None:
        background = np.median(real, axis=0).astype(np.uint8)
        found = object_recall(real, reconstructed, background, find(real, ram))
    else:
        found = {}
    return {name: recall for name, recall in found.items() if len(recall.found)}


def _class_recalls(real: Frames, reconstructed: Frames, channels: tuple[str, ...]) -> dict[str, Recall]:
    found = {}
    for name, kind in classes.KINDS.items():
        plane = np.s_[..., [channels.index(kind.name.lower())]]
        background = np.median(real[plane], axis=0).astype(np.uint8)
        found |= object_recall(real[plane], reconstructed[plane], background, {name: classes.find(real[plane])})
    return found


def object_recall(
    real: Frames, reconstructed: Frames, background: UInt8[np.ndarray, "h w c"], windows: Windows
) -> dict[str, Recall]:
    """Holds reconstructed newest frames against the real ones, kind by kind.

    Args:
        real, reconstructed: newest frames (n, h, w, c) of the same states.
        background: the median frame.
        windows: where the objects are in ``real``.
    """
    kept = {}
    for name, frames in windows.items():
        found, index = [], []
        for i, places in enumerate(frames):
            for window in places:
                stands = _stands(real[i], reconstructed[i], background, window)
                if stands is not None:
                    found.append(stands)
                    index.append(i)
        kept[name] = Recall(np.array(found, dtype=bool), np.array(index, dtype=np.int64))
    return kept


def _stands(
    real: UInt8[np.ndarray, "h w c"],
    reconstructed: UInt8[np.ndarray, "h w c"],
    background: UInt8[np.ndarray, "h w c"],
    window: Float[np.ndarray, "4"],
) -> bool | None:
    """Whether one object stands; None where it cannot be seen in the real frame."""
    height, width = real.shape[:2]
    left, top = (max(math.floor(edge), 0) for edge in window[:2])
    right, bottom = min(math.ceil(window[2]), width), min(math.ceil(window[3]), height)
    if right <= left or bottom <= top:
        return None
    around = np.s_[max(top - REACH, 0) : bottom + REACH, max(left - REACH, 0) : right + REACH]
    object_ = real[top:bottom, left:right].astype(np.float64) - background[top:bottom, left:right]
    energy = float(np.square(object_).sum())
    if energy < LEAST_CONTRAST**2 * object_.size:
        return None
    places = sliding_window_view(reconstructed[around].astype(np.float64) - background[around], object_.shape)
    return bool((places * object_).sum(axis=(3, 4, 5)).max() >= 0.5 * energy)

"""Object recall: whether the objects of a game survive reconstruction, for games whose objects can be located.

The position of an object in the real frame comes from the emulator's memory, or from the image, by its colour or by its
semantic class; with classes, only the channel of that class is compared.  With m the median frame, s the real frame and r
the reconstruction, an object in a window W of the frame is *recalled* if, for some shift d of at most two pixels,

    sum_W (r(. + d) - m(. + d)) (s - m)  >=  1/2 sum_W (s - m)^2

that is, if at least half of its contrast with the background is present, at most two pixels away.  An object that hardly
differs from the background in the real frame is not counted: it is hidden, or exists in memory only.
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

MIN_CONTRAST = 15.0
"""Minimum contrast of an object that is counted: root mean square difference from the background over its window, of 255."""

Windows = dict[str, list[np.ndarray]]
"""For each kind of object, the windows (m, 4) of its objects in each frame: left, top, right, bottom in pixels of the
downscaled frame, the last two exclusive."""

Finder = Callable[[Frames, np.ndarray], Windows]
"""Finds the objects in real frames (n, h, w, 3) with the emulator's memory (n, 128)."""

FINDERS: dict[str, Finder] = {
    "Pong": pong.find,
    "Seaquest": seaquest.find,
    "Qbert": qbert.find,
}
"""Finders by the title of the game."""


def finder(environment: str) -> Finder | None:
    """The finder of the environment with this id, or None."""
    return next((find for title, find in FINDERS.items() if is_game(environment, title)), None)


def recalls(environment: EnvironmentSpec, real: Frames, reconstructed: Frames, ram: np.ndarray) -> dict[str, Recall]:
    """Recall of each kind of object of an environment that is visible in these frames.

    Args:
        environment: with an Atari game or semantic classes that have finders; there are no recalls for others.
        real, reconstructed: newest frames (n, h, w, c) of the same states.
        ram: the emulator's memory at these states (n, 128); of another width, no game's objects can be located.
    """
    channels = tuple(environment.preprocessing.get("channels", ()))
    recall_of: dict[str, Recall] = {}
    if classes.has_classes(channels):
        recall_of = _class_recalls(real, reconstructed, channels)
    elif ram.shape[1] == RAM and is_pong(environment.id):
        recall_of = {"ball": ball_recall(real, reconstructed, ram)}
    elif ram.shape[1] == RAM and (find := finder(environment.id)) is not None:
        background = np.median(real, axis=0).astype(np.uint8)
        recall_of = object_recall(real, reconstructed, background, find(real, ram))
    return {name: recall for name, recall in recall_of.items() if len(recall.recalled)}


def _class_recalls(real: Frames, reconstructed: Frames, channels: tuple[str, ...]) -> dict[str, Recall]:
    """Recall of each semantic class, in the channel of that class alone."""
    recall_of: dict[str, Recall] = {}
    for name, kind in classes.KINDS.items():
        plane = np.s_[..., [channels.index(kind.name.lower())]]
        background = np.median(real[plane], axis=0).astype(np.uint8)
        recall_of |= object_recall(real[plane], reconstructed[plane], background, {name: classes.find(real[plane])})
    return recall_of


def object_recall(
    real: Frames, reconstructed: Frames, background: UInt8[np.ndarray, "h w c"], windows: Windows
) -> dict[str, Recall]:
    """Recall of each kind of object in ``windows``.

    Args:
        real, reconstructed: newest frames (n, h, w, c) of the same states.
        background: the median frame.
        windows: the objects of ``real``.
    """
    recall_of: dict[str, Recall] = {}
    for name, frames in windows.items():
        flags: list[bool] = []
        index: list[int] = []
        for i, frame_windows in enumerate(frames):
            for window in frame_windows:
                recalled = _is_recalled(real[i], reconstructed[i], background, window)
                if recalled is not None:
                    flags.append(recalled)
                    index.append(i)
        recall_of[name] = Recall(np.array(flags, dtype=bool), np.array(index, dtype=np.int64))
    return recall_of


def _is_recalled(
    real: UInt8[np.ndarray, "h w c"],
    reconstructed: UInt8[np.ndarray, "h w c"],
    background: UInt8[np.ndarray, "h w c"],
    window: Float[np.ndarray, "4"],
) -> bool | None:
    """Whether one object is recalled; None if it is not visible in the real frame."""
    height, width = real.shape[:2]
    left, top = (max(math.floor(edge), 0) for edge in window[:2])
    right, bottom = min(math.ceil(window[2]), width), min(math.ceil(window[3]), height)
    if right <= left or bottom <= top:
        return None
    around = np.s_[max(top - REACH, 0) : bottom + REACH, max(left - REACH, 0) : right + REACH]
    object_ = real[top:bottom, left:right].astype(np.float64) - background[top:bottom, left:right]
    energy = float(np.square(object_).sum())
    if energy < MIN_CONTRAST**2 * object_.size:
        return None
    shifted = sliding_window_view(reconstructed[around].astype(np.float64) - background[around], object_.shape)
    return bool((shifted * object_).sum(axis=(3, 4, 5)).max() >= 0.5 * energy)

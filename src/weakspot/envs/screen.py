"""From the emulator's screen to one small colour frame and one small gray frame, fast.

The frame is the pixel maximum over the last two emulator frames, resized by area, exactly as ``AtariVectorEnv`` does
it.  Two facts make it cheap.  The screen is palette indices, so colour and gray come out of one table as four channels
and are resized together.  And rows of a picture fall into blocks that are resized independently of each other (5 rows
of 210 make 2 rows of 84), so only blocks that changed since the previous frame are computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd

import cv2
import numpy as np
from ale_py import ALEInterface

cv2.setNumThreads(1)  # environments already run in parallel


UNKNOWN = (0, 0, 0, 1)
"""Stands for the colour of an index that was never seen; black that is not black in gray does not exist."""


class Palette:
    """Red, green, blue and gray of each palette index, learned from the emulator's own pictures.

    Attributes:
        colours: (256, 4) uint8.
        known: the indices seen so far.
    """

    def __init__(self) -> None:
        self.colours = np.tile(np.array(UNKNOWN, np.uint8), (256, 1))
        self.known = b""
        self._packed = self.colours.view(np.uint32).ravel()
        self._unknown = self._packed[-1]
        self.colours[0] = 0  # black, which also stands for no picture at all

    def learn(self, ale: ALEInterface, indices: np.ndarray) -> None:
        """Adds the colours of the emulator's present screen, whose palette indices are (h, w)."""
        self.colours[indices.ravel(), :3] = ale.getScreenRGB().reshape(-1, 3)
        self.colours[indices.ravel(), 3] = ale.getScreenGrayscale().ravel()
        self.known = bytes(sorted(set(self.known) | set(indices.tobytes())))

    def merge(self, colours: np.ndarray, known: bytes) -> None:
        """Adds what another palette of the same emulator knows."""
        self.colours[list(known)] = colours[list(known)]
        self.known = bytes(sorted(set(self.known) | set(known)))

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """Colours (...) uint32, the bytes [r g b gray], of palette indices (...); see :meth:`knows`."""
        return self._packed.take(indices, mode="clip")

    def knows(self, colours: np.ndarray) -> bool:
        """Whether none of some colours that were looked up stands for an index that was never seen."""
        return not (colours == self._unknown).any()


@dataclass(frozen=True)
class Capture:
    """One emulator frame.

    Attributes:
        indices: palette indices (blocks, rows a block, w).
        changed: which blocks differ from the frame this one replaces, (blocks,) bool.
        colours: of the changed blocks, [r g b gray] as one number (changed blocks, rows a block, w).
    """

    indices: np.ndarray
    changed: np.ndarray
    colours: np.ndarray


class Screen:
    """The last two emulator frames of one emulator, and the small frame they make.

    Args:
        ale: an emulator with a game in it.
        size: height and width of the small frame.
    """

    def __init__(self, ale: ALEInterface, size: int) -> None:
        height, width = ale.getScreen().shape
        # Blocks are exact only where the emulator rows a small row stands for are the same numbers in every block.
        blocks = gcd(height, size) if (4 * height) % size == 0 else 1
        self._ale = ale
        self._rows = (blocks, height // blocks, width)
        self._small = (blocks, size // blocks, size)
        self._size = size
        self.palette = Palette()
        self._indices = [np.zeros(self._rows, np.uint8) for _ in range(2)]
        self._colours = [np.zeros(self._rows, np.uint32) for _ in range(2)]  # [r g b gray] as one number
        self._frame = np.zeros((*self._small, 4), np.uint8)

    def capture(self, slot: int) -> Capture:
        """The emulator's present frame, to replace the last (0) or the one before the last (1)."""
        indices = self._ale.getScreen().reshape(self._rows)
        changed = _differing(indices, self._indices[slot])
        moved = indices[changed]
        colours = self.palette(moved)
        if not self.palette.knows(colours):
            self.palette.learn(self._ale, indices)
            colours = self.palette(moved)
        return Capture(indices, changed, colours)

    def start(self) -> np.ndarray:
        """The small frame (size, size, 4) of a reset: the emulator's present frame alone, maximum with nothing."""
        return self._show_whole(self.capture(0).indices, np.zeros(self._rows, np.uint8))

    def show(self, *captures: Capture) -> np.ndarray:
        """The small frame (size, size, 4) uint8, [r g b gray], of captures for slots 0 and 1, or for slot 0 alone."""
        anywhere = captures[0].changed
        for slot, capture in enumerate(captures):
            self._colours[slot][capture.changed] = capture.colours
            self._indices[slot] = capture.indices
            anywhere = anywhere | capture.changed
        rows = np.flatnonzero(anywhere)
        if len(rows):
            self._frame[rows] = self._pool(*(colours.take(rows, axis=0) for colours in self._colours))
        return self._frame.reshape(self._size, self._size, 4)

    def show_last(self, *captures: Capture) -> np.ndarray:
        """The small frame (size, size, 4) of a decision that the episode's end cut short before slot 0 was captured.

        The emulator frames that were not shown any more are missing from it: it is the maximum over the previous
        decision's frames and, where there is one, the capture for slot 1.  Only :meth:`start` and :meth:`load` may
        follow.
        """
        self._frame[:] = self._pool(*self._colours, *(self.palette(capture.indices) for capture in captures))
        return self._frame.reshape(self._size, self._size, 4)

    def _show_whole(self, *screens: np.ndarray) -> np.ndarray:
        everything = np.ones(self._rows[0], bool)
        return self.show(*(Capture(indices, everything, self.palette(indices)) for indices in screens))

    def _pool(self, *colours: np.ndarray) -> np.ndarray:
        pictures = [picked.view(np.uint8).reshape(-1, self._rows[2] * 4) for picked in colours]
        pooled = reduce(cv2.max, pictures).reshape(-1, self._rows[2], 4)
        height = len(pooled) // self._rows[1] * self._small[1]
        small = cv2.resize(pooled, (self._size, height), interpolation=cv2.INTER_AREA)
        return small.reshape(-1, *self._small[1:], 4)

    def store(self) -> dict[str, bytes]:
        """The last two emulator frames and the palette, to be given to :meth:`load`."""
        return {
            "screens": b"".join(indices.tobytes() for indices in self._indices),
            "colours": self.palette.colours.tobytes(),
            "known": self.palette.known,
        }

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Goes back to what :meth:`store` gave."""
        self.palette.merge(np.frombuffer(parts["colours"], np.uint8).reshape(256, 4), parts["known"])
        self._show_whole(*np.frombuffer(parts["screens"], np.uint8).reshape(2, *self._rows))


def _differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.reshape(len(a), -1).view(np.uint64) != b.reshape(len(b), -1).view(np.uint64)).any(axis=1)

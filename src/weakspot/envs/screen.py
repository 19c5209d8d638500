"""Computes one small colour frame and one small gray frame from the emulator's screen, fast.

The frame is the pixel maximum over the last two emulator frames, resized by area, exactly as ``AtariVectorEnv`` does it.
Two facts make it cheap.  The screen holds palette indices, so colour and gray come from one table as four channels, and are
resized together.  The rows of an image form blocks that are resized independently of each other (5 rows of 210 become
2 rows of 84), so only the blocks that changed since the previous frame are computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import TypeAlias

import cv2
import numpy as np
from ale_py import ALEInterface

cv2.setNumThreads(1)  # environments already run in parallel

Shrink: TypeAlias = Callable[[np.ndarray], np.ndarray]

UNKNOWN = (0, 0, 0, 1)
"""Placeholder for the colour of an index that has not been seen; no real colour is black with a gray value of 1."""


class Palette:
    """Red, green, blue and gray of each palette index, learned from the emulator's own images.

    Attributes:
        colours: (256, 4) uint8.
        known: the indices seen so far.
    """

    def __init__(self) -> None:
        self.colours = np.tile(np.array(UNKNOWN, np.uint8), (256, 1))
        self.known = b""
        self._packed = self.colours.view(np.uint32).ravel()
        self._unknown = self._packed[-1]
        self.colours[0] = 0  # black, also used where there is no emulator frame yet

    def learn(self, ale: ALEInterface, indices: np.ndarray) -> None:
        """Adds the colours of the emulator's current screen, whose palette indices are (h, w)."""
        self.colours[indices.ravel(), :3] = ale.getScreenRGB().reshape(-1, 3)
        self.colours[indices.ravel(), 3] = ale.getScreenGrayscale().ravel()
        self.known = bytes(sorted(set(self.known) | set(indices.tobytes())))

    def merge(self, colours: np.ndarray, known: bytes) -> None:
        """Adds the known colours of another palette of the same emulator."""
        self.colours[list(known)] = colours[list(known)]
        self.known = bytes(sorted(set(self.known) | set(known)))

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """Colours (...) uint32, the bytes [r g b gray], of palette indices (...); see :meth:`knows`."""
        return self._packed.take(indices, mode="clip")

    def knows(self, colours: np.ndarray) -> bool:
        """Whether all of these colours, which were looked up, are of indices that have been seen."""
        return not (colours == self._unknown).any()


@dataclass(frozen=True)
class Capture:
    """One emulator frame.

    Attributes:
        indices: palette indices (blocks, rows per block, w).
        changed: (blocks,) bool, which blocks differ from the frame that this one replaces.
        colours: (changed blocks, rows per block, w), [r g b gray] of the changed blocks as one number.
    """

    indices: np.ndarray
    changed: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class ScreenMark:
    """What a :class:`Screen` holds; its arrays must not be changed.

    Attributes:
        indices: of the last two emulator frames, (blocks, rows per block, w) each.
        colours: of these, [r g b gray] as one number.
        frame: the small frame.
    """

    indices: tuple[np.ndarray, np.ndarray]
    colours: tuple[np.ndarray, np.ndarray]
    frame: np.ndarray


class Screen:
    """The last two emulator frames of one emulator, and the small frame computed from them.

    Args:
        ale: an emulator with a loaded game.
        size: height and width of the small frame.
        maximum: the small frame is the maximum over the last 1 or 2 emulator frames.
        shrink: makes the small frame (size, 4) of a whole one (h, w, 4); None resizes by area.
    """

    def __init__(self, ale: ALEInterface, size: tuple[int, int], maximum: int = 2, shrink: Shrink | None = None) -> None:
        height, width = ale.getScreen().shape
        # Blocks are exact only if each small row covers the same emulator rows, relative to its block, in every block.
        blocks = gcd(height, size[0]) if shrink is None and (4 * height) % size[0] == 0 else 1
        self._maximum, self._shrink = maximum, shrink
        self._ale = ale
        self._rows = (blocks, height // blocks, width)
        self._small = (blocks, size[0] // blocks, size[1])
        self._size = size
        self.palette = Palette()
        self._indices = [np.zeros(self._rows, np.uint8) for _ in range(2)]
        self._colours = [np.zeros(self._rows, np.uint32) for _ in range(2)]  # [r g b gray] as one number
        self._frame = np.zeros((*self._small, 4), np.uint8)

    def capture(self, slot: int) -> Capture:
        """The emulator's current frame, to replace the last one (slot 0) or the one before it (slot 1)."""
        indices = self._ale.getScreen().reshape(self._rows)
        changed = _differing(indices, self._indices[slot])
        changed_indices = indices[changed]
        colours = self.palette(changed_indices)
        if not self.palette.knows(colours):
            self.palette.learn(self._ale, indices)
            colours = self.palette(changed_indices)
        return Capture(indices, changed, colours)

    def start(self) -> np.ndarray:
        """The small frame (size, size, 4) of a reset, computed from the emulator's current frame alone."""
        return self._show_whole(self.capture(0).indices, np.zeros(self._rows, np.uint8))

    def show(self, *captures: Capture) -> np.ndarray:
        """The small frame (size, size, 4) uint8, [r g b gray], of captures for slots 0 and 1, or for slot 0 alone."""
        changed = captures[0].changed
        for slot, capture in enumerate(captures):
            self._colours[slot][capture.changed] = capture.colours
            self._indices[slot] = capture.indices
            changed = changed | capture.changed
        blocks = np.flatnonzero(changed)
        if len(blocks):
            self._frame[blocks] = self._pool(*(colours.take(blocks, axis=0) for colours in self._colours[: self._maximum]))
        return self._frame.reshape(*self._size, 4)

    def show_last(self, *captures: Capture) -> np.ndarray:
        """The small frame (size, size, 4) of a step that the episode's end cut short before slot 0 was captured.

        The remaining emulator frames of the step do not exist, so this is the maximum over the previous step's frames and
        the capture for slot 1, if there is one.  Only :meth:`start` and :meth:`load` may follow.
        """
        captured = [self.palette(capture.indices) for capture in captures]
        newest_first = [*captured, *self._colours]
        self._frame[:] = self._pool(*(newest_first if self._maximum == 2 else newest_first[:1]))
        return self._frame.reshape(*self._size, 4)

    def _show_whole(self, *screens: np.ndarray) -> np.ndarray:
        all_blocks = np.ones(self._rows[0], bool)
        return self.show(*(Capture(indices, all_blocks, self.palette(indices)) for indices in screens))

    def _pool(self, *colours: np.ndarray) -> np.ndarray:
        """Pixel maximum over blocks of several frames, resized."""
        images = [packed.view(np.uint8).reshape(-1, self._rows[2] * 4) for packed in colours]
        pooled = reduce(cv2.max, images).reshape(-1, self._rows[2], 4)
        if self._shrink is not None:
            return self._shrink(pooled).reshape(-1, *self._small[1:], 4)
        height = len(pooled) // self._rows[1] * self._small[1]
        small = cv2.resize(pooled, (self._size[1], height), interpolation=cv2.INTER_AREA)
        return small.reshape(-1, *self._small[1:], 4)

    def mark(self) -> ScreenMark:
        """The last two emulator frames, for :meth:`go_back`; quicker than :meth:`store`."""
        first, second = self._colours
        return ScreenMark((self._indices[0], self._indices[1]), (first.copy(), second.copy()), self._frame.copy())

    def go_back(self, mark: ScreenMark) -> None:
        """Restores the frames that :meth:`mark` returned."""
        self._indices = list(mark.indices)
        for colours, marked in zip(self._colours, mark.colours, strict=True):
            colours[:] = marked
        self._frame[:] = mark.frame

    def store(self) -> dict[str, bytes]:
        """The last two emulator frames and the palette, for :meth:`load`."""
        return {
            "screens": b"".join(indices.tobytes() for indices in self._indices),
            "colours": self.palette.colours.tobytes(),
            "known": self.palette.known,
        }

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Restores the frames that :meth:`store` returned, and adds its palette."""
        self.palette.merge(np.frombuffer(parts["colours"], np.uint8).reshape(256, 4), parts["known"])
        self._show_whole(*np.frombuffer(parts["screens"], np.uint8).reshape(2, *self._rows))


def _differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which blocks (n,) differ between two frames."""
    return (a.reshape(len(a), -1).view(np.uint64) != b.reshape(len(b), -1).view(np.uint64)).any(axis=1)

"""States as PNG, and clips as videos or animated GIFs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.run import Run
from weakspot.errors import StorageError
from weakspot.report.images import in_colour
from weakspot.system.files import write_atomic, write_bytes

SCALE, RATE = 4, 12
"""Enlargement of the frames of clips, and frames per second."""


@dataclass(frozen=True)
class Clip:
    """Frames (t, h, w, c) with a name for a file."""

    name: str
    frames: Array


def states(run: Run) -> Iterator[Clip]:
    """All synthesised states and accepted twins, with their stacks as frames."""
    for symbol, findings in run.findings.items():
        slug, twins = findings.search.slug, run.twins.get(symbol)
        for index, stack in enumerate(findings.states):
            yield Clip(f"{slug}-{index + 1:03d}", stack)
        for twin in twins.search.twins if twins else ():
            if twins and twin.accepted:
                yield Clip(f"{slug}-{twin.number + 1:03d}-twin", twins.states[twin.number])
    for kept in run.kept:
        yield Clip(f"kept-{kept.record.id}", kept.state)


def clips(run: Run) -> Iterator[Clip]:
    """The losses and rescues of all groups of states, and the clips that were kept."""
    if run.confirmation and run.rollouts:
        for number, weakness in enumerate(run.confirmation.weaknesses, start=1):
            for name, clip in (("loss", weakness.loss), ("rescue", weakness.rescued)):
                if clip is not None:
                    yield Clip(f"weakness-{number}-{name}", run.rollouts.clip(clip))
    for kept in run.kept:
        if len(kept.frames) > 1:
            yield Clip(f"kept-{kept.record.id}", kept.frames)


def write_png(path: Path, frames: Array, colours: Sequence[tuple[int, int, int]] | None) -> None:
    """Writes frames side by side, oldest first, without loss."""
    write_bytes(path, png_of(frames, colours)[0])


def png_of(frames: Array, colours: Sequence[tuple[int, int, int]] | None) -> tuple[bytes, int, int]:
    """Frames side by side, oldest first, as a PNG, and its height and width."""
    strip = np.concatenate(list(_rgb(frames, colours)), axis=1)
    return cv2.imencode(".png", np.ascontiguousarray(strip[..., ::-1]))[1].tobytes(), *strip.shape[:2]


def write_mp4(path: Path, frames: Array, colours: Sequence[tuple[int, int, int]] | None) -> None:
    """Writes a video; raises :class:`StorageError` if it cannot be written."""
    large = _enlarged(_rgb(frames, colours))
    height, width = (size // 2 * 2 for size in large.shape[1:3])  # even numbers, as video formats want them

    def write(target: Path) -> bool:
        writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (width, height))
        for frame in large:
            writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
        opened = writer.isOpened()
        writer.release()
        return opened

    _write_as(path, ".mp4", write)


def write_gif(path: Path, frames: Array, colours: Sequence[tuple[int, int, int]] | None) -> None:
    """Writes an animated GIF, which has at most 256 colours; raises :class:`StorageError` if it cannot be written."""
    large = _enlarged(_rgb(frames, colours))

    def write(target: Path) -> bool:
        animation = cast(Any, cv2).Animation()
        animation.frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in large]
        animation.durations = np.full(len(large), 1000 // RATE)
        return bool(cast(Any, cv2).imwriteanimation(str(target), animation))

    _write_as(path, ".gif", write)


def _write_as(path: Path, suffix: str, write: Callable[[Path], bool]) -> None:
    """Writes a file whose format the library takes from its suffix."""

    def write_beside(temporary: Path) -> None:
        target = temporary.with_suffix(suffix)
        try:
            if not write(target) or not target.exists():
                raise StorageError(f"{path} cannot be written", expected="a folder that can be written to")
            target.replace(temporary)
        finally:
            target.unlink(missing_ok=True)

    write_atomic(path, write_beside)


def _rgb(frames: Array, colours: Sequence[tuple[int, int, int]] | None) -> Array:
    return frames if colours is None else in_colour(frames, colours)


def _enlarged(frames: Array) -> Array:
    return frames.repeat(SCALE, axis=1).repeat(SCALE, axis=2)

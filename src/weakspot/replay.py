"""Plays the rollouts of a weakness again, bit for bit, and writes them as a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from weakspot.artifacts.run import Run
from weakspot.artifacts.weaknesses import Clip, StartRecord
from weakspot.confirm.clips import digest_of, play_clip
from weakspot.errors import ConfigError, SnapshotError, StorageError
from weakspot.ground.play import Player, route_to, started_player
from weakspot.opened import open_run
from weakspot.report.images import in_colour
from weakspot.system.files import make_folder, write_atomic

SCALE, RATE = 5, 12
"""Enlargement of frames, and frames per second."""
GAP = 8
"""Pixels between the two rollouts, before enlargement."""


def replay(run: Run, number: int, output: Path, *, trust: bool = False) -> Path:
    """Plays the loss and the rescue of a weakness again, side by side, and writes a video.

    Args:
        run: with a confirmation.
        number: of the weakness, from 1, as in the report.
        output: an ``.mp4`` file.
        trust: allow code in the agent's file to run; the environment is made by what the agent's file names.

    Raises:
        ConfigError: there is no such weakness.
        SnapshotError: the environment draws other frames than in the rollouts.
        StorageError: the video cannot be written.
    """
    weaknesses = run.confirmation.weaknesses if run.confirmation else ()
    if not 1 <= number <= len(weaknesses):
        raise ConfigError(
            f"there is no weakness {number}",
            expected=f"a number from 1 to {len(weaknesses)}" if weaknesses else "a run with weaknesses",
            todo="look at the report, or run `weakspot run` first",
        )
    weakness, session = weaknesses[number - 1], open_run(run, trust=trust)
    clips = [clip for clip in (weakness.loss, weakness.rescued) if clip is not None]
    colours = run.environment.channel_colours
    player = started_player(session.subject.factory(), session.dataset)
    films = [_played(player, weakness.states[clip.state], clip) for clip in clips]
    _write(output, [film if colours is None else in_colour(film, colours) for film in films])
    return output


def _played(player: Player, start: StartRecord, clip: Clip) -> np.ndarray:
    """The frames of a clip (t, h, w, c), after a comparison with the digest of the rollout."""
    snapshot = player.snapshot_of(route_to(start))
    frames, _ = play_clip(player.environment, snapshot, clip.seed, clip.actions)
    if digest_of(frames) != clip.digest:
        raise SnapshotError(
            "the rollout shows other frames than before",
            expected="the same frames bit for bit",
            todo="use the versions of weakspot and of the environment that made the run",
        )
    return np.stack(frames)


def _write(output: Path, films: Sequence[np.ndarray]) -> None:
    """Writes RGB films (t, h, w, 3) side by side; shorter ones stand still at their ends."""
    length = max(len(film) for film in films)
    padded = [np.concatenate([film, np.repeat(film[-1:], length - len(film), axis=0)]) for film in films]
    gap = np.full((length, padded[0].shape[1], GAP, 3), 255, np.uint8)
    parts = [part for film in padded for part in (gap, film)][1:]
    frames = np.concatenate(parts, axis=2).repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2  # even numbers, as video formats want them
    make_folder(output.parent)

    def write(temporary: Path) -> None:
        video = temporary.with_suffix(".mp4")
        writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (width, height))
        if not writer.isOpened():
            raise StorageError(f"{output} cannot be written as a video", expected="a folder that can be written to")
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
        writer.release()
        video.replace(temporary)

    write_atomic(output, write)

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
GAP, BAR = 24, 24
"""Pixels between the two rollouts, and of the bar above them with the words."""
LOST, GIVEN, PLAIN = (196, 60, 50), (40, 110, 190), (60, 60, 60)
"""Colours of the words, as red, green, blue: after the loss, while actions are given, and else."""


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
    pairs = [(clip, title) for clip, title in ((weakness.loss, "the agent"), (weakness.rescued, "rescue")) if clip]
    colours = run.environment.channel_colours
    player = started_player(session.subject.factory(), session.dataset)
    films: list[np.ndarray] = []
    for clip, title in pairs:
        film = _played(player, weakness.states[clip.state], clip)
        film = film if colours is None else in_colour(film, colours)
        films.append(_titled(film, clip, title))
    _write(output, films)
    return output


def _titled(film: np.ndarray, clip: Clip, title: str) -> np.ndarray:
    """RGB frames (t, h, w, 3), enlarged, below a bar that says what plays, in which decision, and when the loss comes."""
    large = film.repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    framed = np.full((len(large), large.shape[1] + BAR, large.shape[2], 3), 255, np.uint8)
    framed[:, BAR:] = large
    for number, frame in enumerate(framed):
        lost = clip.loss is not None and number >= clip.loss
        given = number <= clip.override and clip.override > 0
        state = "loss" if lost else "given actions" if given else "the agent acts"
        words = f"{title}, decision {number}: {state}"
        colour = LOST if lost else GIVEN if given else PLAIN
        cv2.putText(frame, words, (4, BAR - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return framed


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
    """Writes RGB films (t, h, w, 3) of the same height side by side; shorter ones stand still at their ends."""
    length = max(len(film) for film in films)
    padded = [np.concatenate([film, np.repeat(film[-1:], length - len(film), axis=0)]) for film in films]
    gap = np.full((length, padded[0].shape[1], GAP, 3), 255, np.uint8)
    parts = [part for film in padded for part in (gap, film)][1:]
    frames = np.concatenate(parts, axis=2)
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

"""Draws a weakness as one picture: a loss above, its rescue below, and what the cause changes beside them.

    python -m lab.weakness_picture RUN NUMBER OUTPUT.png

NUMBER counts the weaknesses as the report does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from lab.command import run_command, say
from weakspot.artifacts.run import load_run
from weakspot.artifacts.weaknesses import Weaknesses
from weakspot.errors import ConfigError

SCALE, GAP, TITLE = 3, 8, 44
"""Enlargement of frames; pixels between frames, and above a row."""
LOST, SAVED, CAUSE = (196, 60, 50), (40, 140, 70), (220, 150, 0)
"""Colours as red, green, blue."""


def draw(weaknesses: Weaknesses, number: int, columns: int = 4) -> np.ndarray:
    """A picture (h, w, 3) of weakness ``number``, from 1: ``columns`` frames of the loss and of the rescue, and the cause.

    Raises:
        ConfigError: there is no such weakness, or it has no loss and rescue.
    """
    found = weaknesses.confirmation.weaknesses
    if not 1 <= number <= len(found):
        raise ConfigError(f"there is no weakness {number}", expected=f"a number from 1 to {len(found)}")
    weakness = found[number - 1]
    if weakness.loss is None or weakness.rescued is None or weakness.rescue is None:
        raise ConfigError(f"weakness {number} has no rescue", expected="a weakness with a loss and a rescue")
    loss, rescued = weaknesses.clip(weakness.loss), weaknesses.clip(weakness.rescued)
    end = len(loss) if weakness.loss.loss is None else min(len(loss), weakness.loss.loss // weakness.loss.every + 1)
    moments = np.linspace(0, end - 1, columns).round().astype(int)
    rows = [
        _row([loss[m] for m in moments], "The agent " + weaknesses.confirmation.loss, LOST, columns),
        _row([rescued[min(m, len(rescued) - 1)] for m in moments], f"Rescued by {weakness.rescued.label}", SAVED, columns),
    ]
    if weakness.cause:
        before, after = weaknesses.before[number - 1], weaknesses.after[number - 1]
        marked = _marked(before, after)
        other = "without the change" if weakness.changed else "as usual"
        title = f"Cause: {weakness.cause.names}. As it is, {other}, what differs"
        rows.append(_row([before, after, marked], title, CAUSE, columns))
    return np.concatenate(rows)


def _row(frames: list[np.ndarray], title: str, colour: tuple[int, int, int], columns: int) -> np.ndarray:
    """Frames beside each other below a title, as wide as ``columns`` frames."""
    large = [cv2.resize(frame, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_NEAREST) for frame in frames]
    framed = [np.pad(frame, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for frame in large]
    framed[-1][: large[-1].shape[0], : large[-1].shape[1]] = _bordered(large[-1], colour)
    strip = np.concatenate(framed, axis=1)
    strip = np.pad(strip, ((0, 0), (0, (columns - len(framed)) * framed[0].shape[1]), (0, 0)), constant_values=255)
    head = np.full((TITLE, strip.shape[1], 3), 255, np.uint8)
    cv2.putText(head, title, (2, TITLE - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.9, colour, 2, cv2.LINE_AA)
    return np.concatenate([head, strip])


def _bordered(frame: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    framed = frame.copy()
    cv2.rectangle(framed, (0, 0), (frame.shape[1] - 1, frame.shape[0] - 1), colour, 2 * SCALE)
    return framed


def _marked(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The frame, dimmed except where the two differ, with a box around that."""
    change = np.abs(before.astype(int) - after.astype(int)).max(axis=2) > 0
    marked = np.where(change[..., None], before, before // 4 + 20).astype(np.uint8)
    ys, xs = np.nonzero(change)
    if len(ys):
        cv2.rectangle(marked, (int(xs.min()) - 2, int(ys.min()) - 2), (int(xs.max()) + 2, int(ys.max()) + 2), CAUSE, 1)
    return marked


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("number", type=int)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    rollouts = load_run(arguments.run).rollouts
    if rollouts is None:
        raise ConfigError(
            f"{arguments.run} has no rollouts", expected="a run with a confirmation", todo="run `weakspot run`"
        )
    picture = draw(rollouts, arguments.number)
    cv2.imwrite(str(arguments.output), picture[..., ::-1])
    say(f"{arguments.output}: {picture.shape[1]}x{picture.shape[0]}")


if __name__ == "__main__":
    run_command(main)

"""Objects of a game in frames, found from the emulator's memory."""

from __future__ import annotations

import numpy as np

from weakspot.analysis.objects.finders import FINDERS, Windows, finder
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.errors import ConfigError
from weakspot.games import is_game
from weakspot.session import Session
from weakspot.subject import Subject
from weakspot.types import Frames


def check_objects_known(subject: Subject) -> None:
    """Raises :class:`ConfigError` for agents of games whose objects are not known."""
    if finder(subject.spec.id) is None:
        raise ConfigError(f"the objects of {subject.spec.id} are not known", expected=f"one of {', '.join(FINDERS)}")


def plays(subject: Subject, title: str) -> bool:
    """Whether the agent plays the game ``title``, such as ``Pong``."""
    return is_game(subject.spec.id, title)


def check_game(subject: Subject, title: str, what: str) -> None:
    """Raises :class:`ConfigError` unless the agent plays the game ``title``; ``what`` names the experiment."""
    if not plays(subject, title):
        raise ConfigError(f"{what} with an agent of {subject.spec.id}", expected=f"an agent of {title}")


def check_pong(subject: Subject) -> None:
    """Raises :class:`ConfigError` for agents of other games than Pong, whose ball and object checks are measured."""
    if not is_pong(subject.spec.id):
        raise ConfigError(
            f"{subject.spec.id} has no ball to look for, and no object checks",
            expected="an agent of Pong",
            todo="use benchmarks.fidelity for other games",
        )


def recorded_objects(session: Session, indices: np.ndarray, frames: Frames) -> Windows:
    """The windows around each kind of object in the newest frames (n, h, w, c) of recorded states, per frame.

    Raises:
        ConfigError: the objects of the game are not known.
    """
    check_objects_known(session.subject)
    find = finder(session.subject.spec.id)
    assert find is not None
    return find(frames, session.dataset.ram[indices])

"""How the report describes twins."""

import pytest

from weakspot.report.twins import played

NAMES = ("NOOP", "FIRE", "UP")


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ((0, 1, 1, 1), "NOOP, 3 × FIRE"),
        ((2,), "UP"),
        ((0, 1, 2, 0), "NOOP, FIRE, UP, NOOP"),
        ((0, 1) * 8, "16 actions"),
        (((0.5, -1.0), (0.5, -1.0)), "2 actions"),
    ],
)
def test_actions_in_words(actions, words):
    assert played(actions, NAMES) == words

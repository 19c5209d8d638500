"""What separates losing states from others: against all pairs, on variables and on pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakspot.artifacts.weaknesses import Box
from weakspot.confirm.correlates import LEAST, correlates, separated, similar
from weakspot.confirm.starts import Start
from weakspot.envs.editable import Variable
from weakspot.ground.play import Route

VARIABLES = tuple(Variable(f"byte {number}", 0, 255, True) for number in range(40))


def start(stack=None, variables=None):
    stack = np.zeros((2, 21, 30, 3), np.uint8) if stack is None else stack
    return Start("", "", Route(0), b"", stack, variables)


def states(count, generator, differs=None):
    """States with random variables, of which one is ``differs``."""
    rows = generator.integers(0, 100, (count, len(VARIABLES))).astype(float)
    if differs is not None:
        rows[:, 7] = differs
    return [start(variables=row) for row in rows]


def pictures(count, generator, level=None):
    """Noise around middle gray; a part of the newest frame is at ``level``."""
    found = generator.integers(90, 110, (count, 2, 21, 30, 3)).astype(np.uint8)
    if level is not None:
        found[:, -1, 5:9, 20:25] = level
    return [start(stack=stack) for stack in found]


@given(
    here=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    others=st.lists(st.integers(0, 5), min_size=1, max_size=6),
)
def test_separation_is_the_share_of_pairs(here, others):
    values = np.array([[value, -value] for value in [*here, *others]], float)
    separations, p = separated(values, len(here), np.random.default_rng(0))
    share = np.mean([(a > b) + (a == b) / 2 for a in here for b in others])
    np.testing.assert_allclose(separations, [share, 1 - share], atol=1e-12)
    assert (p >= 0.001).all() and (p <= 1).all()


def test_the_variable_that_differs_is_named():
    generator = np.random.default_rng(0)
    (found,) = correlates(states(8, generator, 3.0), states(40, generator), VARIABLES, generator)
    assert found.name == "byte 7" and not found.higher and found.box is None
    assert found.here == 3.0 and found.there > 20 and found.separation > 0.9


def test_chance_is_rarely_told():
    """40 variables that mean nothing: something is reported in at most about one of twenty cases."""
    told = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        told += bool(correlates(states(8, generator), states(40, generator), VARIABLES, generator))
    assert told <= 6


def test_variables_that_are_not_finite_are_left_out():
    generator = np.random.default_rng(0)
    group, others = states(8, generator, 3.0), states(40, generator)
    before = correlates(group, others, VARIABLES, np.random.default_rng(1))
    others[3].variables[9], group[2].variables[11] = np.nan, np.inf
    assert correlates(group, others, VARIABLES, np.random.default_rng(1)) == before
    for one in (*group, *others):
        one.variables[:] = np.nan
    assert correlates(group, others, VARIABLES, generator) == ()


def test_a_group_is_compared_with_the_states_that_are_most_like_it():
    """Two scenes differ in everything; whether a state of one is lost is chance, and is seldom reported."""
    told = {"similar": 0, "random": 0}
    for seed in range(30):
        generator = np.random.default_rng(seed)
        scene = generator.random(80) < 0.5
        everything = states(80, generator)
        for one, place in zip(everything, scene, strict=True):
            one.variables[:] += 200.0 * place
        lost = generator.random(80) < 0.25
        group = [one for one, here in zip(everything, scene & lost, strict=True) if here]
        safe = [one for one, other in zip(everything, ~lost, strict=True) if other]
        found = similar(group, safe, Nearness())
        assert len(found) == max(12, 2 * len(group))
        told["similar"] += bool(correlates(group, found, VARIABLES, generator))
        told["random"] += bool(correlates(group, safe, VARIABLES, generator))
    assert told["similar"] <= 6 and told["random"] >= 25
    assert similar([], safe, Nearness()) == similar(group, [], Nearness()) == []


class Nearness:
    """Compares states by the sum of their variables."""

    def views(self, starts):
        return Sums(np.array([start.variables.sum() for start in starts]))

    def distances(self, one, others):
        return np.abs(one.sums - others.sums)[:, None]


class Sums:
    def __init__(self, sums):
        self.sums = sums

    def __len__(self):
        return len(self.sums)

    def row(self, number):
        return Sums(self.sums[number : number + 1])


@pytest.fixture(autouse=True)
def views_of_variables(monkeypatch):
    monkeypatch.setattr("weakspot.confirm.correlates.views_of", lambda likeness, starts: likeness.views(starts))


@pytest.mark.parametrize(("level", "higher"), [(240, True), (10, False)])
def test_the_part_of_the_picture_that_differs_is_found(level, higher):
    generator = np.random.default_rng(1)
    (found,) = correlates(pictures(8, generator, level), pictures(40, generator), None, generator)
    box = found.box
    assert found.name == "the picture" and found.higher == higher and found.separation == 1.0
    assert box.top <= 5 and box.bottom >= 9 and box.left <= 20 and box.right >= 25
    assert box.bottom - box.top <= 8 and box.right - box.left <= 10


def test_the_part_is_not_larger_than_what_separates():
    """A brighter edge around a darker inside: the box around the edge is darker on the whole."""
    generator = np.random.default_rng(4)

    def edged(count, edge, inside):
        found = generator.integers(90, 110, (count, 1, 48, 48, 3)).astype(np.uint8)
        found[:, :, :4] = found[:, :, :, :4] = edge
        found[:, :, 4:, 4:] = inside
        return [start(stack=stack) for stack in found]

    (found,) = correlates(edged(8, 140, 60), edged(40, 100, 100), None, generator)
    box = found.box
    assert found.higher and found.separation == 1.0 and found.here > found.there
    assert (box.bottom - box.top, box.right - box.left) == (4, 4)


def test_nothing_differs_in_equal_pictures_or_with_few_states():
    generator = np.random.default_rng(2)
    assert correlates(pictures(8, generator), pictures(40, generator), None, generator) == ()
    black = [start() for _ in range(20)]
    assert correlates(black[:8], black[8:], None, generator) == ()
    assert correlates(pictures(LEAST - 1, generator, 240), pictures(40, generator), None, generator) == ()


def test_pictures_smaller_than_the_grid():
    generator = np.random.default_rng(3)
    dark = [start(stack=np.zeros((1, 5, 4, 1), np.uint8)) for _ in range(6)]
    light = [start(stack=np.full((1, 5, 4, 1), 9, np.uint8)) for _ in range(9)]
    (found,) = correlates(dark, light, None, generator)
    assert found.box == Box(0, 5, 0, 4) and not found.higher

"""Channels that show classes, and how states with mixtures of classes are compared with those that an environment draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lamps import Gardener, Lamp

from weakspot.agents.base import Perceiver
from weakspot.ground.classes import as_drawn, class_channels
from weakspot.ground.likeness import Likeness


def one_hot(labels, others=0):
    """Frames (n, h, w, c) with a channel for each of three classes after ``others`` channels of other contents."""
    random = np.random.default_rng(0)
    classes = np.where(labels[..., None] == np.arange(3), 255, 0)
    return np.concatenate([random.integers(256, size=(*labels.shape, others)), classes], axis=-1).astype(np.uint8)


LABELS = np.random.default_rng(1).integers(3, size=(5, 8, 6))


@pytest.mark.parametrize("others", [0, 2])
def test_channels_of_classes_are_found_among_others(others):
    assert class_channels(one_hot(LABELS, others)) == tuple(range(others, others + 3))


def test_other_frames_have_none():
    random = np.random.default_rng(0)
    assert class_channels(random.integers(256, size=(5, 8, 6, 3)).astype(np.uint8)) == ()
    assert class_channels(255 * random.integers(2, size=(5, 8, 6, 3)).astype(np.uint8)) == (), "not one of them alone"
    assert class_channels(np.full((5, 8, 6, 1), 255, np.uint8)) == (), "a single channel has no classes"
    gray = one_hot(LABELS)
    gray[0, 0, 0, 1] = 128
    assert class_channels(gray) == ()


@given(arrays(np.uint8, (2, 3, 4, 5, 5), elements=st.integers(0, 255)))
def test_what_is_drawn_is_one_class_at_every_pixel(stacks):
    drawn = as_drawn(stacks, (1, 2, 4))
    assert (drawn[..., [0, 3]] == stacks[..., [0, 3]]).all()
    classes = drawn[..., [1, 2, 4]]
    assert ((classes == 255).sum(axis=-1) == 1).all() and (classes.sum(axis=-1, dtype=int) == 255).all()
    assert (np.take_along_axis(stacks[..., [1, 2, 4]], classes.argmax(axis=-1)[..., None], axis=-1)[..., 0] == (
        stacks[..., [1, 2, 4]].max(axis=-1)
    )).all()  # fmt: skip
    np.testing.assert_array_equal(as_drawn(drawn, (1, 2, 4)), drawn)
    np.testing.assert_array_equal(as_drawn(stacks, ()), stacks)


def test_a_mixture_is_compared_as_its_strongest_class_and_judged_as_it_is():
    """The agent sees the mixture; the pixels are those of the class that is most of it."""
    shape = Lamp().frame().shape
    likeness = Likeness(
        Perceiver(Gardener(), Lamp.observe), np.zeros(shape, np.float32), np.full(shape, 8.0), np.ones(3), (0, 1, 2)
    )
    real = np.zeros((1, 2, *shape), np.uint8)
    real[..., 0] = 255
    real[:, :, 4:8, 4:8] = (0, 255, 0)
    mixed = (0.6 * real.astype(float)).astype(np.uint8)
    mixed[..., 2] = 90
    wanted, others = likeness.views_of_model(mixed), likeness.views(real)
    pixels, _, outputs = likeness.distances(wanted, others)[0]
    assert pixels == 0.0 and outputs > 0.0
    as_it_is = likeness.views(mixed)
    assert likeness.distances(as_it_is, others)[0, 0] > 0.0
    np.testing.assert_array_equal(wanted.output.scores, as_it_is.output.scores)

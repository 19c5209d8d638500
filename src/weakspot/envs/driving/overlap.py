"""Overlap of upright boxes and posts, seen from above."""

from __future__ import annotations

import numpy as np


def box_hits_boxes(
    middle: np.ndarray,
    heading: np.ndarray,
    half: np.ndarray,
    centres: np.ndarray,
    headings: np.ndarray,
    halves: np.ndarray,
) -> np.ndarray:
    """Whether one box overlaps each of n others, (n,) bool, by the separating axis theorem on the axes of both.

    Args:
        middle, heading, half: (2,) centre, unit vector along the box, and half of its length and width, of the one box.
        centres, headings, halves: (n, 2) the same of the others.
    """
    offset = centres - middle
    cos = np.abs(headings @ heading)
    sin = np.abs(headings[:, 0] * heading[1] - headings[:, 1] * heading[0])
    hits = np.ones(len(centres), bool)
    for number, axis in enumerate((heading, np.array([-heading[1], heading[0]]))):
        reach = halves[:, 0] * (cos if number == 0 else sin) + halves[:, 1] * (sin if number == 0 else cos)
        hits &= np.abs(offset @ axis) <= half[number] + reach
    for number in range(2):
        axes = headings if number == 0 else np.stack([-headings[:, 1], headings[:, 0]], axis=1)
        reach = half[0] * (cos if number == 0 else sin) + half[1] * (sin if number == 0 else cos)
        hits &= np.abs((offset * axes).sum(axis=1)) <= halves[:, number] + reach
    return hits


def box_hits_posts(
    middle: np.ndarray, heading: np.ndarray, half: np.ndarray, posts: np.ndarray, radius: float
) -> np.ndarray:
    """Whether a box overlaps each of n circles, (n,) bool.

    Args:
        middle, heading, half: (2,) centre, unit vector along the box, and half of its length and width.
        posts: (n, 2) centres of the circles.
        radius: of all circles.
    """
    offset = posts - middle
    ahead = np.abs(offset @ heading)
    aside = np.abs(offset @ np.array([-heading[1], heading[0]]))
    distance = np.hypot(np.maximum(ahead - half[0], 0), np.maximum(aside - half[1], 0))
    return distance <= radius

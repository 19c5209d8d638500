"""The ring of :mod:`pits` as a family of environments."""

from pits import Ring


def recognises(reference):
    """Whether it is the ring."""
    return reference == "ring"


def factory(reference):
    """Makes rings."""
    return Ring

"""Artifact of the saliency stage: one small map for each recorded state, see :mod:`weakspot.saliency.maps`."""

MAPS = "saliency.npy"
"""The maps (n, ceil(h / 2), ceil(w / 2)), uint8."""

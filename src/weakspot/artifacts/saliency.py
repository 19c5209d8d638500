"""Artifact of the saliency stage: a map of half the resolution for each recorded state (:mod:`weakspot.saliency.maps`)."""

MAPS = "saliency.npy"
"""The maps (n, ceil(h / 2), ceil(w / 2)), uint8."""

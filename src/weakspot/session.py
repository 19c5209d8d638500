"""An opened run."""

from __future__ import annotations

from weakspot.data.dataset import StateDataset


def sharpness_for(dataset: StateDataset, sharpness: float) -> float:
    """b of the soft maximum in units of the scores: ``sharpness`` over their mean spread within a state."""
    return sharpness / max(float(dataset.scores.std(axis=1).mean()), 1e-9)

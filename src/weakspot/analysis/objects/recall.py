"""Object recall: the share of a game's objects that are present in reconstructions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from weakspot.intervals import wilson


@dataclass(frozen=True)
class Recall:
    """Recall of the objects of one kind.

    Attributes:
        recalled: whether each object that is visible in a real frame is present in its reconstruction (n,).
        index: the frame of each object (n,).
    """

    recalled: Bool[np.ndarray, " n"]
    index: Int[np.ndarray, " n"]

    @property
    def share(self) -> float:
        """Share of the visible objects that are present in the reconstruction; NaN if none are visible."""
        return float(self.recalled.mean()) if len(self.recalled) else float("nan")

    def record(self, name: str) -> dict[str, str | float | int]:
        """Recall, its 95 % interval and the number of objects as plain data; there must be at least one object."""
        share, low, high = wilson(int(self.recalled.sum()), len(self.recalled))
        return {"name": name, "recall": share, "low": low, "high": high, "n": len(self.recalled)}

"""How many of a game's objects are there in reconstructions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from weakspot.intervals import wilson


@dataclass(frozen=True)
class Recall:
    """Objects of one kind in some real frames, held against the reconstructions of these.

    Attributes:
        found: for each object that is visible in the real frame, whether it stands in the reconstruction (n,).
        index: in which of the given frames (n,).
    """

    found: Bool[np.ndarray, " n"]
    index: Int[np.ndarray, " n"]

    @property
    def share(self) -> float:
        """Share of the visible objects that stand; NaN without any."""
        return float(self.found.mean()) if len(self.found) else float("nan")

    def record(self, name: str) -> dict[str, str | float | int]:
        """Share, 95 % interval and number of objects as plain data; there must be one at least."""
        share, low, high = wilson(int(self.found.sum()), len(self.found))
        return {"name": name, "recall": share, "low": low, "high": high, "n": len(self.found)}

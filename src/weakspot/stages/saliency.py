"""Stage: compute the agent's saliency in every recorded state (section 3.1, eq. 2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.saliency import MAPS
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.system.progress import progress_bar
from weakspot.system.provenance import file_digest


class SaliencyStage(Stage):
    """Computes one saliency map for each recorded state."""

    name: ClassVar[str] = "saliency"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect")
    threads: ClassVar[int] = 1

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--saliency``."""
        return {"saliency": session.config.saliency}

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The maps."""
        return (MAPS,)

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.saliency.maps.saliency_maps`."""
        from weakspot.saliency.maps import saliency_maps

        session.check_target_scales()
        with progress_bar(self.name) as report:
            saliency_maps(
                session.perceive, session.dataset, folder / MAPS,
                progress=lambda done, total: report(done / total, ""),
            )  # fmt: skip
        return file_digest(folder / MAPS)

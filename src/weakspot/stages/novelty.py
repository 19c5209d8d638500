"""Stage: compare the synthesised states of each target with real ones (section 4.8)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.findings import read_findings
from weakspot.artifacts.novelty import ARRAYS, Novelty, write_novelty
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.stages.target_key import target_key
from weakspot.system.progress import progress_bar
from weakspot.system.provenance import file_digest

RETRIEVED = 8
"""Number of real states of lowest energy that are kept for comparison."""


class NoveltyStage(Stage):
    """Finds the training state closest to each synthesised one, and the real states with the lowest energy of the target."""

    name: ClassVar[str] = "novelty"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect", "synthesize", "policy-values", "overconfidence")

    def parts(self, session: Session) -> tuple[str, ...]:
        """One for each target."""
        return tuple(session.targets)

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """The target with its code, ``--sharpness``, and the split into training and held-out states."""
        return target_key(session, part)

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The comparison."""
        return (ARRAYS,)

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.analysis.novelty.closest`."""
        import numpy as np

        from weakspot.analysis.novelty import closest
        from weakspot.search.method import select_spaced
        from weakspot.search.retrieval import GAP

        dataset, trained_on, target = session.dataset, session.trained_on, session.target(part)
        findings = read_findings(session.results[f"synthesize/{part}"], session.record.environment)
        with progress_bar(f"{self.name} {target.name}") as report:
            near = closest(findings.states, dataset.stacks, trained_on, lambda done, total: report(done / total, ""))
        energies = target(session.recorded_outputs(trained_on)).numpy()
        best = select_spaced(trained_on[np.argsort(energies)], dataset.stream, dataset.time, RETRIEVED, GAP)
        novelty = Novelty(
            closest=near.stacks,
            closest_index=near.index,
            mse=near.mse,
            differing_share=near.differing_share,
            real_target=target(session.recorded_outputs(session.held_out)).numpy(),
            retrieved=dataset.stacks(best),
            retrieved_target=target(session.recorded_outputs(best)).numpy(),
        )
        write_novelty(folder, novelty)
        return file_digest(folder / ARRAYS)

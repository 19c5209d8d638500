"""Stage: estimate, from recorded play, how much more the agent gets than it expects, for the target overconfidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.overconfidence import FILE, Overconfidence, write_overconfidence
from weakspot.artifacts.surplus import ARRAYS, SurplusArrays, write_surplus
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.system.progress import progress_bar
from weakspot.system.provenance import digest, file_digest
from weakspot.targets.names import needs_surplus

BATCH = 256
"""States whose features are computed together."""


class OverconfidenceStage(Stage):
    """Fits the surplus of a state to the returns that followed recorded states."""

    name: ClassVar[str] = "overconfidence"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect")

    def parts(self, session: Session) -> tuple[str, ...]:
        """One, if the run has the target."""
        agent = session.record.agent
        return tuple(
            slug for slug, name in session.targets.items() if needs_surplus(name, agent.action_names, agent.continuous)
        )

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--overconfidence.*``."""
        return asdict(session.config.overconfidence)

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The estimate, and how good it is."""
        return FILE, ARRAYS

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :mod:`weakspot.analysis.overconfidence`."""
        import numpy as np

        from weakspot.analysis.expectation import value_of
        from weakspot.analysis.features import features
        from weakspot.analysis.overconfidence import SHARE, fit_surplus
        from weakspot.analysis.returns import horizon_returns
        from weakspot.data.dataset import as_state
        from weakspot.data.recall import hidden_of

        dataset, config = session.dataset, session.config.overconfidence
        own = value_of(session.recorded_outputs(np.arange(len(dataset))), dataset.agent)
        parts = np.array_split(np.arange(len(dataset)), -(-len(dataset) // BATCH))
        rows: list[np.ndarray] = []
        with progress_bar(self.name) as report:
            for chosen in parts:
                perceive = session.perceive.at(hidden_of(dataset, chosen))
                rows.append(features(perceive, as_state(dataset.stacks(chosen)), BATCH).numpy())
                report(len(rows) / len(parts), f"{chosen[-1] + 1:,} of {len(dataset):,} states")
        fitted = fit_surplus(np.concatenate(rows), own, horizon_returns(dataset, config.horizon, config.gamma, lives=True))
        record = Overconfidence(
            correlation=fitted.correlation, low=fitted.low, high=fitted.high, states=fitted.states,
            horizon=config.horizon, gamma=config.gamma,
            strength=fitted.strength, share=SHARE, expected=fitted.expected, got=fitted.got,
        )  # fmt: skip
        recorded = np.concatenate([part.astype(np.float64) @ fitted.weights + fitted.offset for part in rows])
        write_overconfidence(folder, record)
        write_surplus(folder, SurplusArrays(fitted.weights, fitted.offset, recorded))
        return digest(file_digest(folder / FILE), file_digest(folder / ARRAYS))

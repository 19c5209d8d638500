"""Stage: play on from twins, recorded states and what-ifs, to tell what goes wrong, what causes it and what would help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weakspot.artifacts import weaknesses as artifact
from weakspot.artifacts.findings import read_search
from weakspot.artifacts.twins import read_twins
from weakspot.references import code_digests
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.system.progress import phased_progress
from weakspot.system.provenance import digest, file_digest

if TYPE_CHECKING:
    import numpy as np

    from weakspot.types import Stacks


class ConfirmStage(Stage):
    """Makes rollouts from the twins of all targets, from recorded states, and from such with one thing changed."""

    name: ClassVar[str] = "confirm"
    version: ClassVar[int] = 9
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect", "train", "ground")

    def parts(self, session: Session) -> tuple[str, ...]:
        """One for all targets; none without control states."""
        return ("",) if session.config.confirm.controls else ()

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--confirm.*``, with the user's code, and the names of the targets."""
        config = session.config
        return asdict(config.confirm) | {
            "code": code_digests([config.confirm.outcome] if config.confirm.outcome else []),
            "reference_file": _digest(config.confirm.reference),
            "targets": sorted(session.target_names.values()) if config.ground.states else [],
        }

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The weaknesses."""
        return artifact.WEAKNESSES, artifact.ARRAYS

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.confirm.confirmation.confirm`."""
        from weakspot.confirm.confirmation import confirm
        from weakspot.confirm.inputs import outcome_function, reference_agent

        config = session.config.confirm
        twins = {
            read_search(session.results[f"synthesize/{slug}"]).target: read_twins(
                session.results[f"ground/{slug}"], session.record.environment
            )
            for slug in (session.targets if session.config.ground.states else ())
        }
        with phased_progress(self.name) as report:
            weaknesses = confirm(
                session.player, session.pool, session.subject.agent, session.likeness, config, twins,
                reference=reference_agent(
                    config.reference, session.subject.spec, session.config.device, trust=session.config.trust
                ),
                outcome=outcome_function(config.outcome),
                report=report,
                possible=_possible(session) if config.what_ifs and session.player.editable else None,
            )  # fmt: skip
        artifact.write_weaknesses(folder, weaknesses)
        return digest(file_digest(folder / artifact.ARRAYS), file_digest(folder / artifact.WEAKNESSES))


def _possible(session: Session) -> Callable[[Stacks], np.ndarray] | None:
    """Which states can be, by what they show; None without held-out states to tell from."""
    import numpy as np

    from weakspot.ground.plausibility import measure_plausibility

    if not len(session.held_out):
        return None
    generator = np.random.default_rng([session.config.confirm.seed, 3])
    return measure_plausibility(session.model, session.dataset, session.held_out, generator).could_be


def _digest(reference: str | None) -> str:
    """The content of the file of another agent; empty for names of agents that ship."""
    path = Path(reference).expanduser() if reference else None
    return file_digest(path) if path is not None and path.is_file() else ""

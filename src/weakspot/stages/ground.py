"""Stage: find states of the environment itself that stand for the synthesised ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts import twins as artifact
from weakspot.artifacts.findings import read_findings
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.stages.target_key import target_key
from weakspot.system.progress import progress_bar
from weakspot.system.provenance import digest, file_digest


class GroundStage(Stage):
    """Finds a twin for each of the first synthesised states of each target."""

    name: ClassVar[str] = "ground"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect", "train", "synthesize", "policy-values", "overconfidence")
    version: ClassVar[int] = 10

    def parts(self, session: Session) -> tuple[str, ...]:
        """One for each target; none if no twins are wanted."""
        return tuple(session.targets) if session.config.ground.states else ()

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--ground.*``, the target with its code, ``--sharpness``, and the split into training and held-out states."""
        return asdict(session.config.ground) | target_key(session, part)

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The twins."""
        return artifact.TWINS, artifact.ARRAYS

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.ground.twins.find_twins`."""
        from weakspot.ground.records import twins_artifact
        from weakspot.ground.twins import find_twins, scale_of

        config, target = session.config.ground, session.target(part)
        findings = read_findings(session.results[f"synthesize/{part}"], session.record.environment)
        grounds, indices = session.grounds, session.trained_on
        scale = scale_of(grounds, target, indices, session.recorded_outputs(indices))
        with progress_bar(f"{self.name} {target.name}") as report:
            found = find_twins(grounds, findings.states[: config.states], target, scale, config, report)
        twins = twins_artifact(grounds, target.name, found, config.usual, scale)
        artifact.write_twins(folder, twins)
        untimed = [asdict(twin) | {"seconds": 0.0} for twin in twins.search.twins]
        return digest(file_digest(folder / artifact.ARRAYS), untimed, part)

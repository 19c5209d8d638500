"""Stage: let the agent play while it sees only reconstructions, which shows what the state model loses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.evidence import GOGGLES, Goggles, Interval, Scores, write_goggles
from weakspot.session import Session
from weakspot.stages.estimate import Estimate
from weakspot.stages.stage import Stage
from weakspot.system.progress import progress_bar
from weakspot.system.provenance import file_digest


class GogglesStage(Stage):
    """Plays the same episodes twice: on real observations, and on reconstructions."""

    name: ClassVar[str] = "goggles"
    version: ClassVar[int] = 2
    inputs: ClassVar[tuple[str, ...]] = ("subject", "train")

    def parts(self, session: Session) -> tuple[str, ...]:
        """No result if ``--goggles.episodes`` is 0."""
        return ("",) if session.config.goggles.episodes else ()

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--goggles.*``."""
        return asdict(session.config.goggles)

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The scores."""
        return (GOGGLES,)

    def estimate(self, session: Session) -> Estimate:
        """The longest possible episodes, by the measured pace, as far as it is that of the agent and the environment."""
        config = session.config.goggles
        decisions = 2 * config.episodes * config.longest
        source = f"{config.episodes} episodes of at most {config.longest:,} decisions, twice, without reconstructions"
        return Estimate(decisions / session.pace, source, is_bound=True)

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.analysis.goggles.goggles`."""
        from weakspot.analysis.goggles import goggles

        config, subject = session.config.goggles, session.subject
        with progress_bar(self.name) as report:
            scores = goggles(
                session.model, subject.agent, subject.factory, config,
                progress=lambda done, total: report(done / total, f"{done} of {total} episodes"),
            )  # fmt: skip
        write_goggles(folder, _artifact(scores.record(config.seed)))
        return file_digest(folder / GOGGLES)


def _artifact(record: Mapping[str, Any]) -> Goggles:
    def interval(part: Mapping[str, Any]) -> Interval:
        return Interval(part["mean"], part["low"], part["high"])

    agent, goggles, ratio = record["agent"], record["goggles"], record["ratio"]
    return Goggles(
        agent=Scores(tuple(agent["scores"]), tuple(agent["signs"]), interval(agent)),
        goggles=Scores(tuple(goggles["scores"]), tuple(goggles["signs"]), interval(goggles)),
        difference=interval(record["difference"]),
        ratio=interval(ratio) if ratio else None,
        note=record["note"],
    )

"""Stage: write the report, one HTML file, and its numbers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.kept import kept_digest
from weakspot.config import RunConfig, command_line
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.system.files import write_json
from weakspot.system.provenance import digest, file_digest, source_digest, versions

REPORT, DATA = "report.html", "report.json"


class ReportStage(Stage):
    """Writes the report from the artifacts of all other stages; loads neither the agent nor torch."""

    name: ClassVar[str] = "report"
    inputs: ClassVar[tuple[str, ...]] = (
        "subject", "collect", "train", "fidelity", "samples", "goggles", "policy-values", "overconfidence", "synthesize",
        "novelty",
    )  # fmt: skip
    needs_agent: ClassVar[bool] = False

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """The command that the report shows, the order of the targets, ``--report.size``, what was kept in the explorer, and
        the code that writes the report."""
        return {
            "command": _command(session.config),
            "targets": list(session.targets),
            "size": session.config.report.size,
            "kept": kept_digest(session.config.output),
            "weakspot": versions()["weakspot"],
            "sources": source_digest("report", "artifacts"),
        }

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The report, and its numbers."""
        return REPORT, DATA

    def links(self, part: str) -> Mapping[str, str]:
        """Both, under their own names."""
        return {REPORT: REPORT, DATA: DATA}

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.report.build.write_report` and :func:`weakspot.report.data.report_data`."""
        from weakspot.artifacts.run import read_run
        from weakspot.report.build import write_report
        from weakspot.report.data import report_data

        config = session.config
        run = read_run(config.output, _command(config), config.record(), session.targets, session.results)
        write_report(run, folder / REPORT, config.report.size)
        write_json(folder / DATA, report_data(run))
        return digest(file_digest(folder / REPORT), file_digest(folder / DATA))


def _command(config: RunConfig) -> str:
    """The command that repeats the run, without its folders, so that runs that share a store share the report."""
    return command_line(replace(config, output=RunConfig().output, store=None))

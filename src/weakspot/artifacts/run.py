"""A run as a typed object: :func:`load_run` reads the artifacts of a run folder without the agent and without torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from weakspot.artifacts.collection import Collection, read_collection
from weakspot.artifacts.evidence import (
    Fidelity,
    Goggles,
    Reconstructions,
    Samples,
    read_fidelity,
    read_goggles,
    read_reconstructions,
    read_samples,
)
from weakspot.artifacts.findings import Findings, read_findings
from weakspot.artifacts.novelty import Novelty, read_novelty
from weakspot.artifacts.subject import AgentRecord, EnvironmentRecord, read_subject
from weakspot.artifacts.training import Curve, ModelRecord, read_curves, read_model
from weakspot.errors import RunError
from weakspot.run.entry import Entry, read_entry
from weakspot.run.folder import RECORD, RunFolder

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """What a run found; what it does not have is None or empty.

    Attributes:
        folder: the run folder.
        command: the command that repeats the run.
        settings: of the run, as plain data.
        entries: the results by stage and part, such as ``synthesize/t-minus``: their folders and records.
        agent, environment: under test.
        collection: the recorded states, in numbers.
        model: the state model.
        curves: of its training.
        fidelity, reconstructions, samples, goggles: how far the state model can be trusted.
        findings: the synthesised states of each target, by the target's symbol or name, such as ``T-``.
        novelty: their comparison with real states, in the same way.
    """

    folder: Path
    command: str
    settings: Mapping[str, Any]
    entries: Mapping[str, Entry]
    agent: AgentRecord
    environment: EnvironmentRecord
    collection: Collection | None
    model: ModelRecord | None
    curves: tuple[Curve, ...]
    fidelity: Fidelity | None
    reconstructions: Reconstructions | None
    samples: Samples | None
    goggles: Goggles | None
    findings: Mapping[str, Findings]
    novelty: Mapping[str, Novelty]

    @property
    def report(self) -> Path | None:
        """The report, if it was made."""
        path = self.folder / "report.html"
        return path if "report" in self.entries and path.exists() else None

    @cached_property
    def seconds(self) -> dict[str, float]:
        """What each stage took, over all its parts."""
        found: dict[str, float] = {}
        for entry in self.entries.values():
            found[entry.record.stage] = round(found.get(entry.record.stage, 0.0) + entry.record.seconds, 1)
        return found

    @cached_property
    def versions(self) -> dict[str, str]:
        """The version of each package; if stages were made by different ones, each with its stages."""
        made: dict[str, dict[str, list[str]]] = {}
        for entry in self.entries.values():
            for package, version in entry.record.versions.items():
                stages = made.setdefault(package, {}).setdefault(version, [])
                if entry.record.stage not in stages:
                    stages.append(entry.record.stage)
        return {
            package: next(iter(several))
            if len(several) == 1
            else ", ".join(f"{version} ({', '.join(stages)})" for version, stages in several.items())
            for package, several in made.items()
        }


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Reads a run folder.

    Raises:
        RunError: it is no run folder, has no results yet, or a result is damaged.
        SchemaError: a newer version of weakspot wrote it.
    """
    path = Path(folder)
    place = RunFolder(path)
    record = place.read() if path.exists() else None
    if record is None or "subject" not in record.results:
        raise RunError(
            f"{path} has no results" if record else f"{path} has no {RECORD}",
            expected="a run folder that weakspot made",
            todo="check the path, or run `weakspot run` first",
        )
    store = place.store(record)
    results = {name: store / name.partition("/")[0] / shown.key for name, shown in record.results.items()}
    return read_run(path, record.command, record.settings, record.targets, results)


def read_run(
    folder: Path, command: str, settings: Mapping[str, Any], targets: Mapping[str, str], results: Mapping[str, Path]
) -> Run:
    """Reads the results of a run.

    Args:
        folder, command, settings: of the run.
        targets: slug of each target to its name.
        results: folder of each result, by stage and part.

    Raises:
        RunError: a result is missing or damaged.
    """
    entries = {name: _entry(name, path) for name, path in results.items()}
    subject = read_subject(results["subject"])
    environment = subject.environment
    findings: dict[str, Findings] = {}
    novelty: dict[str, Novelty] = {}
    for slug in targets:
        if (path := results.get(f"synthesize/{slug}")) is None:
            continue
        found = read_findings(path, environment)
        findings[found.search.target] = found
        if (path := results.get(f"novelty/{slug}")) is not None:
            novelty[found.search.target] = read_novelty(path, environment, len(found.states))

    def read(stage: str, reader: Callable[[Path], T]) -> T | None:
        return reader(results[stage]) if stage in results else None

    return Run(
        folder=folder,
        command=command,
        settings=settings,
        entries=entries,
        agent=subject.agent,
        environment=environment,
        collection=read("collect", read_collection),
        model=read("train", read_model),
        curves=read("train", read_curves) or (),
        fidelity=read("fidelity", read_fidelity),
        reconstructions=read("fidelity", lambda path: read_reconstructions(path, environment)),
        samples=read("samples", lambda path: read_samples(path, environment)),
        goggles=read("goggles", read_goggles),
        findings=findings,
        novelty=novelty,
    )


def _entry(name: str, folder: Path) -> Entry:
    todo = "run the same command again, which makes it anew; if the run folder was moved without its store, move both"
    entry = read_entry(folder)
    if entry is None:
        raise RunError(f"the result of {name} is not in {folder}", expected="a finished result", todo=todo)
    if problem := entry.missing():
        raise RunError(f"the result of {name} is damaged: {problem}", expected=f"all files of {folder}", todo=todo)
    return entry

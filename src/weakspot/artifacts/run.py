"""A run as a typed object: :func:`load_run` reads the artifacts of a run folder without the agent and without torch.

Descriptions and measures are read and checked at once. Arrays are read on first access, so loading a run is fast however
many states it has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from weakspot.artifacts.collection import Collection, read_collection
from weakspot.artifacts.display import run_html
from weakspot.artifacts.evidence import (
    Fidelity,
    Goggles,
    Reconstructions,
    SampleMeasures,
    read_fidelity,
    read_goggles,
    read_reconstructions,
    read_sample_states,
    read_samples,
)
from weakspot.artifacts.findings import Findings, read_findings, read_search
from weakspot.artifacts.kept import Kept, kept_ids, read_kept
from weakspot.artifacts.lazy import LazyMapping
from weakspot.artifacts.novelty import Novelty, read_novelty
from weakspot.artifacts.overconfidence import Overconfidence, read_overconfidence
from weakspot.artifacts.policy_values import PolicyValues, read_policy_values
from weakspot.artifacts.subject import AgentRecord, EnvironmentRecord, read_subject
from weakspot.artifacts.training import Curve, ModelRecord, read_curves, read_model
from weakspot.artifacts.twins import Twins, read_twins
from weakspot.artifacts.weaknesses import Confirmation, Weakness, Weaknesses, read_confirmation, read_weaknesses
from weakspot.errors import RunError
from weakspot.run.entry import Entry, read_entry
from weakspot.run.folder import RECORD, RunFolder

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """The results of a run; missing results are None or empty.

    ``findings``, ``novelty``, ``twins``, ``curves``, ``reconstructions``, ``sample_states`` and ``kept`` are read on first
    access, which raises :class:`RunError` if their file is damaged.

    Attributes:
        folder: the run folder.
        command: the command that repeats the run.
        settings: of the run, as plain data.
        entries: folders and records of the results, by stage and part, such as ``synthesize/t-minus``.
        agent, environment: the agent under test and its environment.
        collection: summary of the recorded states.
        model: the state model.
        fidelity, samples, goggles: how far the state model can be trusted.
        confirmation: what rollouts from twins and recorded states showed.
        findings: the synthesised states of each target, by the target's symbol or name, such as ``T-``.
        novelty: their comparison with real states, by the same keys.
        twins: states of the environment that stand for the first of them, by the same keys.
        policy_values: the action values of a policy that a target asks about, by the same keys; only such targets have them.
        overconfidence: how good the estimate behind the target ``overconfidence`` is, by its name, if the run has it.
    """

    folder: Path
    command: str
    settings: Mapping[str, Any]
    entries: Mapping[str, Entry]
    agent: AgentRecord
    environment: EnvironmentRecord
    collection: Collection | None
    model: ModelRecord | None
    fidelity: Fidelity | None
    samples: SampleMeasures | None
    goggles: Goggles | None
    confirmation: Confirmation | None
    findings: Mapping[str, Findings]
    novelty: Mapping[str, Novelty]
    twins: Mapping[str, Twins]
    policy_values: Mapping[str, PolicyValues]
    overconfidence: Mapping[str, Overconfidence]

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """The curves of the training of the state model."""
        return self._read("train", read_curves) or ()

    @cached_property
    def reconstructions(self) -> Reconstructions | None:
        """Real states and their reconstructions."""
        return self._read("fidelity", lambda folder: read_reconstructions(folder, self.environment))

    @cached_property
    def sample_states(self) -> Array | None:
        """Random samples of the state model, in the order drawn (n, k, h, w, c); uint8."""
        return self._read("samples", lambda folder: read_sample_states(folder, self.environment))

    @property
    def weaknesses(self) -> tuple[Weakness, ...]:
        """The confirmed weaknesses, those that cost most first; empty without a confirmation."""
        found = self.confirmation.weaknesses if self.confirmation else ()
        return tuple(weakness for weakness in found if weakness.confirmed)

    @cached_property
    def rollouts(self) -> Weaknesses | None:
        """All groups of states that rollouts judged, with pictures and clips; None without a confirmation."""
        return self._read("confirm", lambda folder: read_weaknesses(folder, self.environment))

    @cached_property
    def kept(self) -> tuple[Kept, ...]:
        """What was kept in the explorer, oldest first."""
        return tuple(read_kept(self.folder, name, self.environment) for name in kept_ids(self.folder))

    @property
    def report(self) -> Path | None:
        """Path of the report; None if there is none."""
        path = self.folder / "report.html"
        return path if "report" in self.entries and path.exists() else None

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Seconds that each stage took, summed over its parts."""
        seconds: dict[str, float] = {}
        for entry in self.entries.values():
            seconds[entry.record.stage] = round(seconds.get(entry.record.stage, 0.0) + entry.record.seconds, 1)
        return seconds

    @cached_property
    def versions(self) -> dict[str, str]:
        """The version of each package; if stages ran with different versions, all of them with their stages."""
        stages_by_version: dict[str, dict[str, list[str]]] = {}
        for entry in self.entries.values():
            for package, version in entry.record.versions.items():
                stages = stages_by_version.setdefault(package, {}).setdefault(version, [])
                if entry.record.stage not in stages:
                    stages.append(entry.record.stage)
        return {package: _version_text(stages) for package, stages in stages_by_version.items()}

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        return run_html(self)

    def _read(self, stage: str, reader: Callable[[Path], T]) -> T | None:
        entry = self.entries.get(stage)
        return None if entry is None else reader(entry.folder)


def _version_text(stages_by_version: Mapping[str, list[str]]) -> str:
    if len(stages_by_version) == 1:
        return next(iter(stages_by_version))
    return ", ".join(f"{version} ({', '.join(stages)})" for version, stages in stages_by_version.items())


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Reads a run folder.

    Raises:
        RunError: it is not a run folder, has no results yet, or a result is damaged.
        SchemaError: a newer version of weakspot wrote it.
    """
    path = Path(folder).absolute()
    run_folder = RunFolder(path)
    record = run_folder.read() if path.exists() else None
    if record is None or "subject" not in record.results:
        raise RunError(
            f"{path} has no results" if record else f"{path} has no {RECORD}",
            expected="a run folder that weakspot made",
            todo="check the path, or run `weakspot run` first",
        )
    store = run_folder.store(record)
    results = {name: store / name.partition("/")[0] / shown.key for name, shown in record.results.items()}
    return read_run(path, record.command, record.settings, record.targets, results)


def read_run(
    folder: Path, command: str, settings: Mapping[str, Any], targets: Mapping[str, str], results: Mapping[str, Path]
) -> Run:
    """Reads the results of a run.

    Args:
        folder, command, settings: of the run.
        targets: slug of each target to its name, in the order of the findings.
        results: folder of each result, by stage and part.

    Raises:
        RunError: a result is missing or damaged. Of files that :class:`Run` reads later, only the size is checked.
        SchemaError: a newer version of weakspot wrote it.
    """
    entries = {name: _entry(name, path) for name, path in results.items()}
    subject = read_subject(results["subject"])
    environment = subject.environment

    def read(stage: str, reader: Callable[[Path], T]) -> T | None:
        return reader(results[stage]) if stage in results else None

    symbols = {
        slug: read_search(results[f"synthesize/{slug}"]).target for slug in targets if f"synthesize/{slug}" in results
    }

    def of_targets(stage: str, reader: Callable[[Path], T]) -> dict[str, T]:
        folders = {symbol: results.get(f"{stage}/{slug}") for slug, symbol in symbols.items()}
        return {symbol: reader(folder) for symbol, folder in folders.items() if folder is not None}

    findings = LazyMapping(
        {symbol: partial(read_findings, results[f"synthesize/{slug}"], environment) for slug, symbol in symbols.items()}
    )
    novelty = {
        symbol: partial(_read_novelty, results[f"novelty/{slug}"], environment, findings, symbol)
        for slug, symbol in symbols.items()
        if f"novelty/{slug}" in results
    }
    return Run(
        folder=folder,
        command=command,
        settings=settings,
        entries=entries,
        agent=subject.agent,
        environment=environment,
        collection=read("collect", read_collection),
        model=read("train", read_model),
        fidelity=read("fidelity", read_fidelity),
        samples=read("samples", read_samples),
        goggles=read("goggles", read_goggles),
        confirmation=read("confirm", read_confirmation),
        findings=findings,
        novelty=LazyMapping(novelty),
        twins=LazyMapping(of_targets("ground", lambda folder: partial(read_twins, folder, environment))),
        policy_values=of_targets("policy-values", read_policy_values),
        overconfidence=of_targets("overconfidence", read_overconfidence),
    )


def _read_novelty(folder: Path, environment: EnvironmentRecord, findings: Mapping[str, Findings], symbol: str) -> Novelty:
    return read_novelty(folder, environment, len(findings[symbol].states))


def _entry(name: str, folder: Path) -> Entry:
    todo = "run the same command again, which repairs it; if the run folder was moved without its store, move both"
    entry = read_entry(folder)
    if entry is None:
        raise RunError(f"the result of {name} is not in {folder}", expected="a finished result", todo=todo)
    if problem := entry.missing():
        raise RunError(f"the result of {name} is damaged: {problem}", expected=f"all files of {folder}", todo=todo)
    return entry

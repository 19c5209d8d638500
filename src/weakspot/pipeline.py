"""Runs stages in the order of their graph. It does not know any stage or artifact by name."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakspot.artifacts.run import Run, read_run
from weakspot.config import RunConfig, command_line
from weakspot.errors import ConfigError, DamagedResultError, RunError
from weakspot.run.entry import Entry
from weakspot.run.folder import SCHEMA, RunFolder, RunRecord, ShownResult, check_store
from weakspot.run.store import Request, Store
from weakspot.run.verified import damaged_result, entry_of
from weakspot.session import Session
from weakspot.stages.estimate import Estimate, estimate_text
from weakspot.stages.graph import STAGES, needed_by, ordered
from weakspot.stages.stage import Stage
from weakspot.system.checks import check_path
from weakspot.system.files import refuse_links
from weakspot.system.progress import say
from weakspot.system.provenance import public_version

if TYPE_CHECKING:
    from weakspot.system.ranks import Ranks


@dataclass(frozen=True)
class Task:
    """One result of a stage: its only one, or the one for a target."""

    stage: Stage
    part: str

    @property
    def name(self) -> str:
        """Stage and part, such as ``train`` or ``synthesize/t-minus``."""
        return f"{self.stage.name}/{self.part}" if self.part else self.stage.name

    def reads(self, name: str) -> bool:
        """Whether it reads the result ``name``: the only one of an input, or the one for the same target.

        A task without a part reads the results for all targets.
        """
        stage, _, part = name.partition("/")
        return stage in self.stage.inputs and (not part or not self.part or part == self.part)


class Pipeline:
    """The stages of one run.

    Args:
        config: of the run.
        only: names of the stages to run; results of other stages must be in the store. By default, all stages.
        stages: the stages of the graph.
        ranks: processes of ``torchrun`` that train together, of which this one is rank 0; None for one process.

    Raises:
        ConfigError: the stages do not form a graph without cycles.
        RunError: the run folder cannot be used.
    """

    def __init__(
        self,
        config: RunConfig,
        only: Sequence[str] | None = None,
        stages: Sequence[Stage] = STAGES,
        ranks: Ranks | None = None,
    ) -> None:
        self.config, self.stages, self._ranks = config, ordered(stages), ranks
        self.only = frozenset(stage.name for stage in self.stages) if only is None else frozenset(only)
        output, store = config.output.absolute(), config.store_path.absolute()
        check_path("the run folder", output)
        check_path("the store", store)
        if output.is_relative_to(store):
            raise ConfigError(
                f"the run folder {output} is inside the store {store}",
                expected="two separate folders, or the store inside the run folder",
                todo="choose another --output or --store",
            )
        self.folder, self.store = RunFolder(output), Store(store)
        self.folder.read()  # raises if it is not a run folder
        if config.store is None:
            refuse_links(output, store)  # a run folder may come from somebody else
        check_store(store)
        self._start()

    def run(self) -> Run:
        """Makes the missing results, and returns all results of the run.

        A result whose files have changed is moved aside and recomputed, and so are the results that depend on it, if its
        content differs.

        Raises:
            WeakspotError: a stage failed. Finished results are kept, and the same call resumes.
        """
        while True:
            try:
                self._run_stages()
                record = self._record()
                run = read_run(self.folder.path, record.command, record.settings, record.targets, self._folders)
                break
            except DamagedResultError as damaged:
                self.session.close()
                self._discard(damaged)
                self._start()
            finally:
                self.session.close()
        if not self.folder.shows(record) and (self._computed or not self.folder.keeps(record)):
            self._say_hidden(record)
            self.folder.write(record)
        if not self._computed:
            say(f"nothing to do: all results of {self.config.output} are up to date")
        return run

    def plan(self) -> list[str]:
        """Names of the results that :meth:`run` would make, and of all results that depend on them.

        Runs the quick stages, because the list depends on their results, and checks the settings and the targets as
        :meth:`run` does before its first long stage.
        """
        for stage in self.stages:
            if stage.quick:
                for task in self._tasks([stage]):
                    self._run_task(task)
        inputs, missing = self._fingerprints, list[str]()
        for task in self._tasks(self.stages):
            request = self._request(task, inputs)
            entry = self.store.find(request)
            if entry is not None:
                self._add(task, entry)
            inputs[task.name] = request.key if entry is None else entry.record.fingerprint
            if entry is None:
                missing.append(task.name)
        if missing:
            self.session.check()  # a plan that the run would refuse is none
        return missing

    def request(self, name: str) -> Request:
        """The request to the store for the result ``name``, such as ``train`` or ``synthesize/t-minus``.

        Raises:
            RunError: there is no such result, or one of its inputs is not finished.
        """
        for task in self._tasks(self.stages):
            if task.name == name and self._finished(task.stage.inputs):
                return self._request(task, self._fingerprints)
        raise RunError(f"there is no result {name}, or its inputs are not finished", todo="run the stages it reads first")

    def _start(self) -> None:
        """Starts without any known results."""
        self._entries: dict[str, Entry] = {}
        self._folders: dict[str, Path] = {}
        self._verified: set[str] = set()
        self._computed = self._agent_checked = False
        self.session = Session(self.config, self._folders, self._ranks)

    def _run_stages(self) -> None:
        needed = needed_by(self.only, self.stages)
        self._check_inputs(needed)
        for stage in self.stages:
            if stage.name not in needed:
                continue
            for task in self._tasks([stage]):
                self._run_task(task)
        for stage in self.stages:  # other results that are already in the store are shown as well
            if stage.name not in needed and self._finished(stage.inputs):
                for task in self._tasks([stage]):
                    if (entry := self.store.find(self._request(task, self._fingerprints))) is not None:
                        self._add(task, entry)

    def _check_inputs(self, needed: Collection[str]) -> None:
        """Raises :class:`RunError` if the store has no result at all of a stage whose results must be there, before the
        quick stages write anything."""
        for stage in self.stages:
            must_exist = stage.name in needed and stage.name not in self.only and not stage.quick
            if must_exist and type(stage).parts is Stage.parts and not self.store.has_results(stage.name):
                raise self._unfinished(stage)

    def _unfinished(self, stage: Stage) -> RunError:
        return RunError(
            f"{self.config.output} has no finished {stage.name} stage with these settings",
            expected="the results that this stage reads",
            todo=f"run `weakspot {stage.name}` with the same settings first, or `weakspot run` for all stages",
        )

    def _run_task(self, task: Task) -> None:
        request = self._request(task, self._fingerprints)
        if (entry := self.store.find(request)) is not None:
            self._add(task, entry)
            say(f"{task.name}: up to date")
            return
        if task.stage.name not in self.only and not task.stage.quick:
            raise self._unfinished(task.stage)
        self._verify_inputs(task)
        self._make(task, request)

    def _make(self, task: Task, request: Request) -> None:
        stage = task.stage
        if stage.needs_agent and not stage.quick and not self._agent_checked:
            self.session.check()
            self._agent_checked = True
            say(self.estimate())
        self._update_folder(f"{request.stage}/{request.key}")
        say(f"{task.name} ...")
        with self._threads(stage):
            entry, made = self.store.make(request, lambda folder: stage.work(self.session, task.part, folder))
        self._computed = True
        self._add(task, entry)
        self._update_folder()
        say(f"{task.name}: done in {entry.record.seconds:.0f} s" if made else f"{task.name}: another process made it")

    @contextmanager
    def _threads(self, stage: Stage) -> Generator[None]:
        """Sets torch's number of threads for the work of a stage; does not import torch for a stage that does not use it."""
        if not stage.needs_agent:
            yield
            return
        from weakspot.system.compute import threads

        with threads(stage.threads or self.config.train.parts):
            yield

    def _verify_inputs(self, task: Task) -> None:
        """Compares the files of the inputs of a task with their digests, once per result."""
        for name, entry in self._entries.items():
            if task.reads(name) and name not in self._verified:
                if problem := entry.changed():
                    raise damaged_result(entry, problem)
                self._verified.add(name)

    def _discard(self, damaged: DamagedResultError) -> None:
        """Moves a damaged result of this store aside; raises the error itself if the result is not damaged any more, which
        a disk out of order can cause."""
        entry = entry_of(damaged.folder)
        if (
            entry is None
            or not damaged.folder.is_relative_to(self.store.path)
            or not self.store.discard(entry, damaged.problem)
        ):
            raise damaged

    def _tasks(self, stages: Sequence[Stage]) -> list[Task]:
        return [Task(stage, part) for stage in stages for part in stage.parts(self.session)]

    def _finished(self, names: Collection[str]) -> bool:
        """Whether all results of these stages and of their inputs are finished."""
        for stage in self.stages:
            if stage.name in names and not (
                self._finished(stage.inputs) and all(task.name in self._entries for task in self._tasks([stage]))
            ):
                return False
        return True

    def _add(self, task: Task, entry: Entry) -> None:
        self._entries[task.name] = entry
        self._folders[task.name] = entry.folder

    @property
    def _fingerprints(self) -> dict[str, str]:
        return {name: entry.record.fingerprint for name, entry in self._entries.items()}

    def _request(self, task: Task, inputs: Mapping[str, str]) -> Request:
        stage = task.stage
        made_from: dict[str, Any] = {
            "stage": stage.name,
            "version": stage.version,
            "settings": dict(stage.key(self.session, task.part)),
            "inputs": {name: fingerprint for name, fingerprint in inputs.items() if task.reads(name)},
            "torch": public_version("torch"),
        }
        return Request(stage.name, task.part, made_from, stage.outputs(self.session, task.part), stage.scratch)

    def estimate(self) -> str:
        """How long the missing results take, of the stages that can tell, and the names of the others."""
        inputs, known, unknown = self._fingerprints, dict[str, Estimate](), list[str]()
        for task in self._tasks(self.stages):
            request = self._request(task, inputs)
            entry = self.store.find(request)
            inputs[task.name] = request.key if entry is None else entry.record.fingerprint
            if entry is not None or task.stage.name not in self.only:
                continue
            estimate = task.stage.estimate(self.session)
            if estimate is None:
                unknown.append(task.name)
            else:
                known[task.name] = estimate
        return estimate_text(known, unknown)

    def _say_hidden(self, record: RunRecord) -> None:
        """Says which results the run folder no longer shows, because a single stage ran with other settings."""
        before = self.folder.read()
        if before and (gone := [name for name in before.results if name not in record.results]):
            say(
                f"no longer shown, since they belong to other settings: {', '.join(gone)}; `weakspot run` with one of the "
                "two settings shows a whole run again"
            )

    def _update_folder(self, *others: str) -> None:
        """Shows the finished results in the run folder. If the folder still shows more, only protects them from deletion."""
        before, record = self.folder.read(), self._record()
        if before is None or before.results.keys() <= record.results.keys():
            self.folder.write(record)
        self.folder.protect(record, others)

    def _record(self) -> RunRecord:
        """The record of a run folder that shows the finished results."""
        config = self.config
        shown = {
            task.name: ShownResult(self._entries[task.name].record.key, dict(task.stage.links(task.part)))
            for stage in self.stages
            if any(name.partition("/")[0] == stage.name for name in self._entries)
            for task in self._tasks([stage])
            if task.name in self._entries
        }
        store = str(config.store.absolute()) if config.store else str(config.store_path.relative_to(config.output))
        targets = dict(self.session.targets) if shown else {}
        return RunRecord(SCHEMA, store, command_line(config), config.record(), targets, shown)

"""What the experiments of the method share: an open run, and a record of results that can be repeated."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lab.arguments import ExperimentArguments, short_name
from lab.cached_searches import find_states
from lab.command import repeatable_command
from lab.pipeline import MODEL, experiment_config, open_session
from lab.records import earlier_record, save_record
from weakspot.references import code_digests
from weakspot.search.method import Method, SearchResult
from weakspot.session import Session
from weakspot.subject import Subject
from weakspot.system.files import make_folder
from weakspot.system.provenance import versions
from weakspot.system.user_code import parse_reference


@dataclass(frozen=True)
class Experiment:
    """A running experiment.

    Attributes:
        arguments: of its command line.
        session: of the run: agent, recorded states and, if its stage was run, the state model.
        started: when it started, in seconds of :func:`time.monotonic`.
    """

    arguments: ExperimentArguments
    session: Session
    started: float

    @property
    def agent_name(self) -> str:
        """The agent's name, for titles."""
        return self.session.subject.agent.spec.name

    def find(self, method: Method, target: str, count: int) -> SearchResult:
        """``count`` states that a method finds for a target; see :func:`lab.cached_searches.find_states`."""
        return find_states(self.session, method, target, count, self.arguments.seed)

    def settings(self) -> dict[str, Any]:
        """Everything that the results depend on, as plain data."""
        arguments, session = self.arguments, self.session
        shared = ("recipe", "frames", "seed", "start", "enough", "candidates", "searches", "steps", "saliency")
        extra = {**vars(arguments.extra)}
        targets = [*(extra.get("targets") or ()), *filter(None, [extra.get("target")])]
        known = {*ExperimentArguments.__dataclass_fields__, "columns"}  # "columns" selects results, it does not change them
        return {
            "agent": arguments.agent_name,
            "agent_fingerprint": session.subject.agent.spec.fingerprint,
            "environment": session.subject.spec.id,
            "data_fingerprint": session.dataset.fingerprint,
            "budget_cpu_minutes": arguments.budget,
            **{name: getattr(arguments, name) for name in shared},
            "search": asdict(arguments.search),
            "target_files": {short_name(name): code_digests([name]) for name in targets if parse_reference(name)},
            **{name: value for name, value in extra.items() if name not in known},
        }

    def earlier(self, name: str) -> dict[str, Any]:
        """The record that an attempt with the same settings, data and versions left; empty if there is none."""
        record = earlier_record(self.arguments.output / f"{name}.json")
        same = record.get("settings") == json.loads(json.dumps(self.settings()))
        return record if same and record.get("versions") == versions() else {}

    def write(self, name: str, result: dict[str, Any], seconds_before: float = 0.0) -> None:
        """Writes ``NAME.json`` to ``--output``: the result, and what is needed to repeat it.

        ``seconds`` in the record is wall time, without that of results which were in the store, plus ``seconds_before``,
        the time of earlier attempts.
        """
        record = {
            "command": repeatable_command(sys.argv),
            "settings": self.settings(),
            "versions": versions(),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds_before + time.monotonic() - self.started, 1),
        }
        save_record(self.arguments.output / f"{name}.json", record | result)


def start_experiment(
    arguments: ExperimentArguments,
    targets: Sequence[str] | None = (),
    stages: Sequence[str] = MODEL,
    check: Callable[[Subject], None] = lambda subject: None,
) -> Experiment:
    """Runs the stages that the experiment needs, as far as their results are not in the store.

    Args:
        arguments: of the command line.
        targets: names that the agent must have; checked before any long computation.
        stages: names of the stages.
        check: raises an error if the experiment cannot be done with an agent.

    Raises:
        UnknownTargetError: the agent does not have one of the targets.
    """
    started = time.monotonic()
    session = open_session(experiment_config(arguments, targets or ()), stages, check)
    make_folder(arguments.output)
    return Experiment(arguments, session, started)

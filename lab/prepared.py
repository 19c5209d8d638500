"""What the experiments of the method begin with: an agent, its rollouts, and a state model trained on them.

All of them take the same arguments.  Rollouts and models stand in ``--folder`` and are made once: a second experiment on the
same folder begins where the first one did, and one that was killed goes on.  :mod:`benchmarks.fidelity` uses the same
folders, so that its models serve here as well.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from benchmarks.recall import curve, stored
from lab.arguments import at_least, positive
from weakspot.config import RunConfig
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset, as_stacks, recorded_outputs
from weakspot.options import SaliencyRule
from weakspot.report.images import in_colour
from weakspot.search.algorithm_1 import AlgorithmOne
from weakspot.search.config import SynthesisConfig
from weakspot.search.method import Sources
from weakspot.session import sharpness_for
from weakspot.state_model.batch import with_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.model import StateModel
from weakspot.subject import Subject, subject
from weakspot.system.compute import threads
from weakspot.system.files import make_folder, write_json
from weakspot.system.provenance import file_digest, versions
from weakspot.system.user_code import local_files, parse_reference
from weakspot.targets.base import Target
from weakspot.targets.resolve import resolve_target
from weakspot.types import Frames, Stacks, State

CANDIDATES_OF_FOUR = 1024
"""Samples that searches begin at the best of, where four states are shown."""


@dataclass(frozen=True)
class Given:
    """What an experiment was asked for.

    Attributes:
        agent, environment: as ``weakspot run`` takes them.
        recipe: of the state model.
        budget: processor minutes of its training.
        frames: states that are collected.
        folder: where rollouts and models are kept, those of one agent.
        output: where results go.
        seed: of the searches, and of what is drawn beside them; rollouts and state models have the seed 0.
        start, enough, candidates, searches, steps: of the searches; see :class:`weakspot.search.config.SynthesisConfig`.
        device, saliency, trust: see :class:`weakspot.config.RunConfig`.
        extra: what the one experiment takes beside that.
    """

    agent: str
    environment: str | None
    recipe: str
    budget: float
    frames: int
    folder: Path
    output: Path
    seed: int
    start: Literal["samples", "data", "prior"]
    enough: Literal["best", "never"]
    candidates: int
    searches: int
    steps: int
    device: str
    saliency: SaliencyRule
    trust: bool
    extra: argparse.Namespace

    @property
    def algorithm(self) -> AlgorithmOne:
        """Algorithm 1, as it was asked for."""
        names = ("start", "enough", "candidates", "searches", "steps")
        return AlgorithmOne(SynthesisConfig(**{name: getattr(self, name) for name in names}))


@dataclass(frozen=True)
class Prepared:
    """What there is to experiment with.

    Attributes:
        subject: the agent and where it plays.
        dataset: its rollouts.
        maps: its saliency at all of them.
        trained, held: whole states that models are trained on, and those that they are not.
        began: when the experiment did, in seconds of ``time.monotonic``.
    """

    subject: Subject
    dataset: StateDataset
    maps: np.ndarray
    trained: np.ndarray
    held: np.ndarray
    began: float

    def pictures(self, states: State) -> Frames:
        """The newest frame of each state (n, h, w, 3), as people can look at it."""
        environment = self.dataset.environment
        return self.shown(as_stacks(states.detach().cpu(), environment.channels))

    def shown(self, stacks: Stacks) -> Frames:
        """The newest frame of each stack, as people can look at it."""
        colours = self.dataset.environment.channel_colours
        return (in_colour(stacks[:, -1:], colours) if colours else stacks[:, -1:])[:, 0]

    def target(self, name: str) -> Target:
        """A target by its name."""
        return resolve_target(name, self.subject.agent.spec, sharpness_for(self.dataset, RunConfig().sharpness))

    def model(self, given: Given, recipe: str | None = None) -> StateModel:
        """A state model; it is trained now if it does not stand yet."""
        data = self.dataset, self.maps
        return curve(self.subject, data, recipe or given.recipe, given.budget, given.folder, time.process_time)[0]

    def sources(self, model: StateModel) -> Sources:
        """What the methods that are compared may work with: the states that the model was trained on."""
        return Sources(
            self.subject.perceive, self.dataset, self.trained, recorded_outputs(self.dataset, self.trained), model
        )


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The arguments that all experiments take."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--agent", default="pong-double-dqn")
    made.add_argument("--environment")
    made.add_argument("--recipe", default="fast")
    made.add_argument("--budget", type=positive, default=60.0, help="processor minutes of the state model's training")
    made.add_argument("--frames", type=at_least(1), default=CollectConfig().frames, help="states to collect")
    made.add_argument("--folder", type=Path, help="of rollouts and state models; runs/experiments/AGENT without")
    made.add_argument("--output", type=Path, help="of results; runs/results/AGENT without")
    made.add_argument(
        "--seed", type=at_least(0), default=0, help="of the searches; rollouts and state models have the seed 0"
    )
    made.add_argument("--device", default="cpu")
    made.add_argument("--saliency", default="guided", choices=get_args(SaliencyRule))
    made.add_argument("--trust", action="store_true", help="run the code that the agent's file holds, if it holds any")
    usual = SynthesisConfig()
    made.add_argument("--start", default=usual.start, choices=("samples", "data", "prior"), help="where searches begin")
    made.add_argument("--enough", default=usual.enough, choices=("best", "never"), help="where a target has enough")
    made.add_argument(
        "--candidates", type=at_least(1), default=usual.candidates, help="samples that searches begin at the best of"
    )
    made.add_argument("--searches", type=at_least(1), default=usual.searches, help="for each state; the best are kept")
    made.add_argument("--steps", type=at_least(1), default=usual.steps, help="of a search, at most")
    return made


def read(made: argparse.ArgumentParser) -> Given:
    """The arguments as they were given."""
    told = made.parse_args()
    agent = _named(told.agent)
    told.folder = told.folder or Path("runs/experiments") / agent
    told.output = told.output or Path("runs/results") / agent
    common = {name: getattr(told, name) for name in Given.__dataclass_fields__ if name != "extra"}
    return Given(**common, extra=told)


def _named(agent: str) -> str:
    """The name of an agent's file, or of the function in it, as a folder."""
    return Path(agent).name.removesuffix(".safetensors").replace(".py:", "-")


def prepare(given: Given, targets: Sequence[str] = (), refuse: Callable[[Subject], None] = lambda one: None) -> Prepared:
    """Loads the agent, and collects its rollouts if they do not stand yet.

    Args:
        given: what was asked for.
        targets: names that the agent has to have, before anything takes long.
        refuse: raises where the experiment cannot be done with the agent.

    Raises:
        UnknownTargetError: the agent has no such target.
    """
    began = time.monotonic()
    settings = {"device": given.device, "saliency": given.saliency, "trust": given.trust}
    one = subject(RunConfig(agent=given.agent, environment=given.environment, **settings))
    refuse(one)
    for name in targets:
        resolve_target(name, one.agent.spec, 1.0)
    make_folder(given.folder)
    make_folder(given.output)
    dataset, maps = stored(one, given.folder, given.frames)
    trained, held = (with_history(dataset, part) for part in dataset.split())
    return Prepared(one, dataset, maps, trained, held, began)


def on_all_cores() -> Any:
    """The threads that synthesis computes with."""
    return threads(TrainConfig().parts)


def write(name: str, given: Given, there: Prepared, result: dict[str, Any], before: float = 0.0) -> None:
    """Writes what an experiment found, with what it takes to repeat it, and the seconds that it took by the clock on the
    wall, without what earlier commands had trained and found; with those ``before`` it was broken off."""
    record = {"command": command(sys.argv), "settings": made_of(given, there), "versions": versions()}
    record |= {"written": datetime.now(UTC).isoformat(timespec="seconds")}
    record |= {"seconds": round(before + time.monotonic() - there.began, 1)}
    write_json(given.output / f"{name}.json", record | result)


def found_before(name: str, given: Given, there: Prepared) -> dict[str, Any]:
    """What an experiment that was broken off has written already; nothing if it was of other settings or data."""
    path = given.output / f"{name}.json"
    try:
        record = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    same = record.get("settings") == json.loads(json.dumps(made_of(given, there)))
    return record if same and record.get("versions") == versions() else {}


def made_of(given: Given, there: Prepared) -> dict[str, Any]:
    """Everything that a result depends on, as plain data."""
    shared = ("recipe", "frames", "seed", "start", "enough", "candidates", "searches", "steps", "saliency")
    asked = [*(getattr(given.extra, "targets", None) or ()), *filter(None, [getattr(given.extra, "target", None)])]
    known = {*Given.__dataclass_fields__, "columns"}  # which columns there are says nothing of what is in them
    others = {name: value for name, value in vars(given.extra).items() if name not in known}
    return {
        "agent": _named(given.agent),
        "agent_fingerprint": there.subject.agent.spec.fingerprint,
        "environment": there.subject.spec.id,
        "data_fingerprint": there.dataset.fingerprint,
        "budget_cpu_minutes": given.budget,
        **{name: getattr(given, name) for name in shared},
        "search": asdict(given.algorithm.config),
        "target_files": {
            _named(target): [file_digest(file) for file in local_files(written[0])]
            for target in asked
            if (written := parse_reference(target))
        },
        **others,
    }


def command(words: Sequence[str]) -> str:
    """A command line as anybody can give it: without folders, and with the names only of files."""
    kept: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        option, equals, _ = word.partition("=")
        if option not in ("--folder", "--output"):
            kept.append(_anywhere(word))
        elif not equals:
            next(rest, None)
    return shlex.join(["python", "-m", f"experiments.{Path(words[0]).stem}", *kept])


def _anywhere(word: str) -> str:
    path, colon, function = word.rpartition(":") if ".py:" in word else (word, "", "")
    return f"FOLDER/{Path(path).name}{colon}{function}" if "/" in path and Path(path).expanduser().exists() else word

"""What the experiments of the method begin with: an agent, its rollouts, and a state model trained on them.

All of them take the same arguments.  Rollouts and models stand in ``--folder`` and are made once: a second experiment on the
same folder begins where the first one did, and one that was killed goes on.  :mod:`benchmarks.fidelity` uses the same
folders, so that its models serve here as well.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recall import curve, place, stored
from weakspot.baselines.algorithm_1 import AlgorithmOne
from weakspot.baselines.method import Sources
from weakspot.cli import keep_memory
from weakspot.collect import CollectConfig
from weakspot.config import RunConfig
from weakspot.dataset import StateDataset
from weakspot.files import make_folder, write_json
from weakspot.pipeline import Subject, real_answers, sharpness_for, subject
from weakspot.precision import resolve
from weakspot.state_model.batch import with_history
from weakspot.state_model.model import StateModel, load
from weakspot.state_model.recipes import recipe as recipe_of
from weakspot.state_model.recipes import settings
from weakspot.state_model.train import TrainConfig, threads
from weakspot.synthesis import SynthesisConfig
from weakspot.targets import Target, resolve_target

PACKAGES = ("weakspot", "torch", "numpy", "ale-py")


@dataclass(frozen=True)
class Given:
    """What an experiment was asked for.

    Attributes:
        agent, environment: as ``weakspot run`` takes them.
        recipe: of the state model.
        budget: processor minutes of its training.
        frames: states that are collected.
        folder: where rollouts and models are kept.
        output: where results go.
        seed: of everything random.
        candidates, steps: of the searches; see :class:`weakspot.synthesis.SynthesisConfig`.
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
    candidates: int
    steps: int
    extra: argparse.Namespace

    @property
    def algorithm(self) -> AlgorithmOne:
        """Algorithm 1, as it was asked for."""
        return AlgorithmOne(SynthesisConfig(candidates=self.candidates, steps=self.steps))


@dataclass(frozen=True)
class Prepared:
    """What there is to experiment with.

    Attributes:
        subject: the agent and where it plays.
        dataset: its rollouts.
        maps: its saliency at all of them.
        trained, held: whole states that models are trained on, and those that they are not.
    """

    subject: Subject
    dataset: StateDataset
    maps: np.ndarray
    trained: np.ndarray
    held: np.ndarray

    def target(self, name: str) -> Target:
        """A target by its name."""
        return resolve_target(name, self.subject.agent.spec, sharpness_for(self.dataset, RunConfig().sharpness))

    def model(self, given: Given, recipe: str | None = None) -> StateModel:
        """A state model; it is trained now if it does not stand yet."""
        name = recipe or given.recipe
        there = place(given.folder, name, given.budget, time.process_time)
        device = self.subject.agent.device
        if (there / "model.json").exists():
            model = load(there / "model.safetensors", device, resolve(TrainConfig().precision, device))
            wanted = settings(recipe_of(name))
            if model.info["data"] == self.dataset.fingerprint and model.info["settings"] == wanted:
                return model
        return curve(self.subject, (self.dataset, self.maps), name, given.budget, given.folder, time.process_time)[0]

    def sources(self, model: StateModel) -> Sources:
        """What the methods that are compared may work with: the states that the model was trained on."""
        return Sources(self.subject.perceive, self.dataset, self.trained, real_answers(self.dataset, self.trained), model)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The arguments that all experiments take."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--agent", default="pong-double-dqn")
    made.add_argument("--environment")
    made.add_argument("--recipe", default="fast")
    made.add_argument("--budget", type=float, default=60.0, help="processor minutes of the state model's training")
    made.add_argument("--frames", type=int, default=CollectConfig().frames, help="states to collect")
    made.add_argument("--folder", type=Path, default=Path("runs/experiments"), help="of rollouts and state models")
    made.add_argument("--output", type=Path, default=Path("runs/results"))
    made.add_argument("--seed", type=int, default=0)
    usual = SynthesisConfig()
    made.add_argument("--candidates", type=int, default=usual.candidates, help="samples that searches begin at the best of")
    made.add_argument("--steps", type=int, default=usual.steps, help="of a search, at most")
    return made


def read(made: argparse.ArgumentParser) -> Given:
    """The arguments as they were given."""
    told = made.parse_args()
    common = {name: getattr(told, name) for name in Given.__dataclass_fields__ if name != "extra"}
    return Given(**common, extra=told)


def prepare(given: Given) -> Prepared:
    """Loads the agent, and collects its rollouts if they do not stand yet."""
    keep_memory()
    make_folder(given.folder)
    make_folder(given.output)
    one = subject(RunConfig(agent=given.agent, environment=given.environment))
    dataset, maps = stored(one, given.folder, given.frames)
    trained, held = (with_history(dataset, part) for part in dataset.split(0.1))
    return Prepared(one, dataset, maps, trained, held)


def on_all_cores() -> Any:
    """The threads that synthesis computes with."""
    return threads(TrainConfig().parts)


def write(name: str, given: Given, result: dict[str, Any]) -> None:
    """Writes what an experiment found, with what it takes to repeat it."""
    module = Path(sys.argv[0]).stem if sys.argv else ""
    record = {
        "command": f"python -m experiments.{module} " + " ".join(_without_folders(sys.argv[1:])),
        "settings": {
            "agent": Path(given.agent).stem,
            "recipe": given.recipe,
            "budget_cpu_minutes": given.budget,
            "frames": given.frames,
            "seed": given.seed,
            "candidates": given.candidates,
            "steps": given.steps,
        },
        "versions": {"python": platform.python_version()} | {package: version(package) for package in PACKAGES},
    }
    write_json(given.output / f"{name}.json", record | result)


def _without_folders(words: list[str]) -> list[str]:
    """A command line whose paths mean something elsewhere: of files their names, of folders nothing."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("--folder", "--output"):
            skip = True
        else:
            kept.append(f"FOLDER/{Path(word).name}" if word.endswith(".safetensors") else word)
    return kept

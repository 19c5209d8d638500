"""Arguments of the command lines of experiments and benchmarks, checked before any long computation."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from weakspot.data.config import CollectConfig
from weakspot.options import SaliencyRule
from weakspot.search.config import SynthesisConfig

CANDIDATES_OF_FOUR = 1024
"""Candidate starts of searches in experiments that show four states per target."""


def at_least(minimum: int) -> Callable[[str], int]:
    """The argparse type of an integer that must not be below ``minimum``."""

    def integer(text: str) -> int:
        number = int(text)
        if number < minimum:
            raise argparse.ArgumentTypeError(f"{number} is less than {minimum}")
        return number

    return integer


def positive(text: str) -> float:
    """The argparse type of a finite number above 0."""
    number = float(text)
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def non_negative(text: str) -> float:
    """The argparse type of a finite number that is 0 or more."""
    number = float(text)
    if not 0.0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is negative or not a number")
    return number


def add_training_arguments(parser: argparse.ArgumentParser, minutes: float) -> None:
    """Adds the arguments of benchmarks that train state models, for ``minutes`` by default."""
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument(
        "--frames", type=at_least(1), default=CollectConfig().frames, help="number of states for training and measuring"
    )
    parser.add_argument(
        "--cpu-minutes", type=positive, default=minutes, help="training budget of each model, summed over all cores"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/fidelity"), help="folder of the runs; collections and models are shared"
    )


@dataclass(frozen=True)
class ExperimentArguments:
    """The arguments that all experiments of the method take.

    Attributes:
        agent, environment: as in :class:`weakspot.RunConfig`.
        recipe: of the state model.
        budget: of its training, in processor minutes.
        frames: number of states to collect.
        folder: of the runs; they share one store of collections, models and search results.
        output: folder of the results.
        seed: of the searches and of random choices; collections and state models have the seed 0.
        start, enough, candidates, searches, steps: of the searches; see :class:`weakspot.SynthesisConfig`.
        device, saliency, trust: see :class:`weakspot.RunConfig`.
        extra: all arguments, including those of the single experiment.
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
    def search(self) -> SynthesisConfig:
        """The settings of Algorithm 1."""
        names = ("start", "enough", "candidates", "searches", "steps")
        return SynthesisConfig(**{name: getattr(self, name) for name in names})

    @property
    def agent_name(self) -> str:
        """The name of the agent's file, or of the function in it, for folder names."""
        return short_name(self.agent)


def experiment_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the arguments that all experiments take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--budget", type=positive, default=60.0, help="processor minutes of the state model's training")
    parser.add_argument("--frames", type=at_least(1), default=CollectConfig().frames, help="number of states to collect")
    parser.add_argument(
        "--folder",
        type=Path,
        help="folder of the runs, which share collections and models; default: runs/experiments/AGENT",
    )
    parser.add_argument("--output", type=Path, help="folder of the results; default: runs/results/AGENT")
    parser.add_argument(
        "--seed", type=at_least(0), default=0, help="of the searches; collections and state models have the seed 0"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--saliency", default="guided", choices=get_args(SaliencyRule))
    parser.add_argument("--trust", action="store_true", help="run code that the agent's file holds")
    defaults = SynthesisConfig()
    parser.add_argument(
        "--start", default=defaults.start, choices=("samples", "data", "prior"), help="starts of the searches"
    )
    parser.add_argument("--enough", default=defaults.enough, choices=("best", "never"), help="see `weakspot run --help`")
    parser.add_argument("--candidates", type=at_least(1), default=defaults.candidates, help="candidate starts per target")
    parser.add_argument("--searches", type=at_least(1), default=defaults.searches, help="per state; the best are kept")
    parser.add_argument("--steps", type=at_least(1), default=defaults.steps, help="largest number of steps of a search")
    return parser


def parse_arguments(parser: argparse.ArgumentParser) -> ExperimentArguments:
    """Parses the command line with a parser that :func:`experiment_parser` made."""
    parsed = parser.parse_args()
    agent = short_name(parsed.agent)
    parsed.folder = parsed.folder or Path("runs/experiments") / agent
    parsed.output = parsed.output or Path("runs/results") / agent
    shared = {field.name: getattr(parsed, field.name) for field in fields(ExperimentArguments) if field.name != "extra"}
    return ExperimentArguments(**shared, extra=parsed)


def short_name(reference: str) -> str:
    """A file's name without its folder and ``.safetensors``; ``FILE-FUNCTION`` for ``path/FILE.py:FUNCTION``."""
    return Path(reference).name.removesuffix(".safetensors").replace(".py:", "-")

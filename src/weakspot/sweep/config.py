"""Sweep files: what a sweep varies, and what its jobs may use."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weakspot.errors import ConfigError
from weakspot.system.checks import check_not_negative, check_positive, check_seed

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""Names of agents and games, which become parts of file names."""


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Resources:
    """What a job may use.

    Attributes:
        threads: Threads of a job, and processor cores that a cluster reserves for it.
        gpus: GPUs that a cluster reserves for it.
        memory_gb: Memory that a cluster reserves for it, in GB; 0 reserves none.
        hours: Time limit of an attempt. A job that takes longer hangs, and is ended.

    Raises:
        ConfigError: a value is out of range.
    """

    threads: int = 1
    gpus: int = 0
    memory_gb: float = 0.0
    hours: float = 24.0

    def __post_init__(self) -> None:
        check_positive(self, "threads", "hours")
        check_not_negative(self, "gpus", "memory_gb")


@dataclass(frozen=True)
class SweepGame:
    """A game or another environment of a sweep.

    Attributes:
        environment: as in ``weakspot run --environment``.
        name: of the game in the names of jobs; by default the environment's, without special characters.
        targets: one set of targets for each run of this game, instead of those of the sweep.
        run: settings of the runs of this game, which take precedence over those of the sweep.
    """

    environment: str
    name: str = ""
    targets: tuple[tuple[str, ...], ...] | None = None
    run: dict[str, Any] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", _slug(self.environment))
        _check_name(self.name)


@dataclass(frozen=True)
class SweepAgent:
    """An agent of a sweep, or a recipe for training one for each game and seed.

    Attributes:
        agent: as in ``weakspot run --agent``; ``{game}`` and ``{seed}`` are replaced.
        train: the algorithm of ``weakspot train-agent`` that trains the agent, instead of ``agent``.
        name: of the agent in the names of jobs.
        settings: of the training, as in ``weakspot train-agent ALGORITHM --help``.
        games: names of the games that the agent plays; all by default.
    """

    agent: str = ""
    train: str = ""
    name: str = ""
    settings: dict[str, Any] = field(default_factory=_nothing)
    games: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if bool(self.agent) == bool(self.train):
            raise ConfigError(
                f"an agent with agent = {self.agent!r} and train = {self.train!r}",
                expected="either of them",
                todo="name an agent that exists, or the algorithm that trains one",
            )
        if self.agent and self.settings:
            raise ConfigError(
                f"settings of a training for the agent {self.agent!r}", expected="settings for trained agents only"
            )
        if not self.name:
            object.__setattr__(self, "name", self.train or _slug(Path(self.agent.replace("{", "").replace("}", "")).stem))
        _check_name(self.name)


@dataclass(frozen=True)
class Sweep:
    """A sweep: every game with every agent, recipe, set of targets and seed.

    Attributes:
        output: folder of the sweep. All paths are relative to the current folder, as on the command line.
        agents: what is examined.
        games: environments; none if the agents name their own.
        recipes: of the state model.
        targets: one set of targets for each run; an empty set stands for the default targets of the agent.
        seeds: of agents that are trained, collections, state models and searches.
        run: settings of all runs, as in ``weakspot run --help``.
        resources: of a run.
        training: resources of the training of an agent.
        retries: how often a job that crashed, hung or was lost is repeated.
        slurm: parameters of submissions to Slurm, such as partition and account.

    Raises:
        ConfigError: a value is out of range, or there is nothing to do.
    """

    output: Path
    agents: tuple[SweepAgent, ...]
    games: tuple[SweepGame, ...] = ()
    recipes: tuple[str, ...] = ("fast",)
    targets: tuple[tuple[str, ...], ...] = ((),)
    seeds: tuple[int, ...] = (0,)
    run: dict[str, Any] = field(default_factory=_nothing)
    resources: Resources = field(default_factory=Resources)
    training: Resources = field(default_factory=Resources)
    retries: int = 2
    slurm: dict[str, Any] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        for name in ("agents", "recipes", "targets", "seeds"):
            if not getattr(self, name):
                raise ConfigError(f"a sweep without {name}", expected=f"at least one entry of {name}")
        for seed in self.seeds:
            check_seed(seed)
        if not 0 <= self.retries < math.inf:
            raise ConfigError(f"retries is {self.retries}", expected="a whole number, at least 0")
        for name, entries in (("agent", self.agents), ("game", self.games)):
            names = [entry.name for entry in entries]
            if twice := sorted({one for one in names if names.count(one) > 1}):
                raise ConfigError(
                    f"two entries of {name}s are called {', '.join(twice)}", expected=f"a different name for each {name}"
                )


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.") or "unnamed"


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(f"the name {name!r}", expected="letters, digits, and _ . + - after the first character")

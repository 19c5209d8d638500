"""Expands a sweep into jobs.

Every run is a job. An agent that the sweep trains is a job that its runs need. What several runs share (recorded states,
or a state model) is a job of its own as well, so that no run waits while another one makes it.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from weakspot.config import RunConfig, command_line
from weakspot.envs.driving.registration import ENVIRONMENTS
from weakspot.errors import ConfigError
from weakspot.games import resolve_game
from weakspot.references import code_digests
from weakspot.sweep.config import Sweep, SweepAgent, SweepGame
from weakspot.sweep.job import Job
from weakspot.sweep.settings import convert, merged, with_underscores
from weakspot.system.provenance import digest, file_digest, public_version
from weakspot.training.config import A2CConfig, ACKTRConfig, DoubleDQNConfig, TrainingConfig, command_of

ALGORITHMS: dict[str, type[TrainingConfig]] = {"double-dqn": DoubleDQNConfig, "a2c": A2CConfig, "acktr": ACKTRConfig}
"""The algorithms that train agents."""
STATES = ("collect", "saliency")
"""Stages of a job that records states for several runs."""
MODEL = ("train", "fidelity", "samples", "goggles")
"""Stages of a job that trains and measures a state model for several runs."""


@dataclass(frozen=True)
class SweepRun:
    """A run of a sweep.

    Attributes:
        name: unique in the sweep; also the name of its job, and of its folder in ``runs``.
        config: its settings.
        training: name of the job that trains its agent; empty if the agent exists.
        states, model: names of the jobs for recorded states and for the state model, if several runs share them.
    """

    name: str
    config: RunConfig
    training: str
    states: str
    model: str


def jobs_of(sweep: Sweep) -> list[Job]:
    """The jobs of a sweep, each after those it needs.

    Raises:
        ConfigError: a setting is invalid, an agent or a game does not exist, or two runs would have the same name.
    """
    trainings = {job.name: job for run in _combinations(sweep) if (job := _training(sweep, run))}
    runs, jobs = runs_of(sweep), dict(trainings)
    sharing = Counter(name for run in runs for name in {run.states, run.model})
    for run in runs:
        shared = [name for name in (run.states, run.model) if sharing[name] > 1 and name != run.name]
        needs: tuple[str, ...] = (run.training,) if run.training else ()
        for name in shared:
            if name not in jobs:
                jobs[name] = _stages_job(sweep, run, name, STATES if name == run.states else MODEL, needs, jobs)
            needs = (name,)
        jobs[run.name] = _run_job(sweep, run, needs, jobs)
    return list(jobs.values())


def selected(jobs: Sequence[Job], patterns: Sequence[str]) -> list[Job]:
    """The jobs whose names match a pattern, such as ``*pong*``, and those that they need, in their order.

    Raises:
        ConfigError: nothing matches a pattern.
    """
    by_name = {job.name: job for job in jobs}
    wanted: set[str] = set()
    for pattern in patterns:
        matching = fnmatch.filter(by_name, pattern)
        if not matching:
            raise ConfigError(
                f"no job is called {pattern!r}", expected=f"names such as {jobs[0].name}", todo="list them with --list"
            )
        wanted.update(matching)
    missing = list(wanted)
    while missing:
        needs = set(by_name[missing.pop()].needs) - wanted
        wanted |= needs
        missing += needs
    return [job for job in jobs if job.name in wanted]


def runs_of(sweep: Sweep) -> list[SweepRun]:
    """The runs of a sweep: the product of its axes.

    Raises:
        ConfigError: see :func:`jobs_of`.
    """
    runs = [_run(sweep, one) for one in _combinations(sweep)]
    if not runs:
        raise ConfigError("no agent of the sweep plays one of its games", expected="at least one run", todo="check games")
    if twice := [name for name, count in Counter(run.name for run in runs).items() if count > 1]:
        raise ConfigError(
            f"{len(twice)} names of runs appear twice, such as {twice[0]}", expected="different names, recipes and targets"
        )
    return runs


@dataclass(frozen=True)
class _Combination:
    """One element of the product of the axes; no game if the agent names its own environment."""

    game: SweepGame | None
    agent: SweepAgent
    recipe: str
    targets: tuple[str, ...]
    seed: int
    several_targets: bool

    @property
    def subject(self) -> str:
        """Names of game and agent."""
        return "-".join([*([self.game.name] if self.game else []), self.agent.name])


def _combinations(sweep: Sweep) -> Iterator[_Combination]:
    for game, agent in itertools.product(sweep.games or (None,), sweep.agents):
        if agent.train and game is None:
            raise ConfigError(
                f"the agent {agent.name} is trained, but the sweep has no games", expected="games", todo="add games"
            )
        if unknown := sorted(set(agent.games or ()) - {one.name for one in sweep.games}):
            raise ConfigError(
                f"the agent {agent.name} plays {', '.join(unknown)}",
                expected=f"games of the sweep: {', '.join(one.name for one in sweep.games) or 'none'}",
                todo="correct its games",
            )
        if game and agent.games is not None and game.name not in agent.games:
            continue
        targets = game.targets if game and game.targets is not None else sweep.targets
        for seed, recipe, some in itertools.product(sweep.seeds, sweep.recipes, targets):
            yield _Combination(game, agent, recipe, some, seed, len(targets) > 1)


def _run(sweep: Sweep, one: _Combination) -> SweepRun:
    states = f"{one.subject}-{one.seed}"
    parts = [one.subject, one.recipe, *([_targets_name(one.targets)] if one.several_targets else []), str(one.seed)]
    name, training = "-".join(parts), _training(sweep, one)
    settings = with_underscores(merged(sweep.run, one.game.run if one.game else {}))
    for reserved in ("output", "store", "agent", "environment", "targets"):
        if reserved in settings:
            raise ConfigError(f"the setting run.{reserved}", expected="agents, games and targets as axes of the sweep")
    settings = merged(_seeds(one.seed) | {"targets": list(one.targets)}, settings)
    settings = merged({"train": {"recipe": one.recipe, "workers": sweep.resources.threads}}, settings)
    settings |= {"output": str(sweep.output / "runs" / name), "store": str(sweep.output / "store")}
    settings["agent"] = training.commands[0][-1] + "/agent.safetensors" if training else _filled(one)
    if one.game and not (training and one.game.environment in ENVIRONMENTS):  # the town's agents name their pedestrians
        settings["environment"] = one.game.environment
    if settings["train"]["recipe"] != one.recipe:
        raise ConfigError("the setting run.train.recipe", expected="recipes as an axis of the sweep", todo="use recipes")
    config = convert(settings, RunConfig, "run")
    return SweepRun(name, config, training.name if training else "", f"states-{states}", f"model-{one.recipe}-{states}")


def _seeds(seed: int) -> dict[str, Any]:
    """The seed of every stage that has one."""
    parts = {field.name: getattr(RunConfig(), field.name) for field in fields(RunConfig)}
    return {name: {"seed": seed} for name, part in parts.items() if hasattr(part, "seed")}


def _filled(one: _Combination) -> str:
    game = resolve_game(one.game.environment) if one.game and "{game}" in one.agent.agent else ""
    return one.agent.agent.replace("{game}", game).replace("{seed}", str(one.seed))


def _targets_name(targets: tuple[str, ...]) -> str:
    """A readable name of a set of targets, which can be part of the name of a file."""
    return "-".join(_target_name(one) for one in targets) or "default"


def _target_name(target: str) -> str:
    """A target in lower case, with its sign as a word: ``t-minus``, ``left``."""
    base = target.rpartition(":")[2].rstrip("+-")
    signs = target[len(target.rstrip("+-")) :]
    words = [base, *("plus" if sign == "+" else "minus" for sign in signs)]
    return re.sub(r"[^a-z0-9_.]+", "-", "-".join(words).lower()).strip("-.")


def _training(sweep: Sweep, one: _Combination) -> Job | None:
    """The job that trains the agent of a run."""
    if not one.agent.train:
        return None
    if one.agent.train not in ALGORITHMS:
        raise ConfigError(f"train is {one.agent.train!r}", expected=" or ".join(ALGORITHMS))
    assert one.game is not None
    place, environment = f"agents.{one.agent.name}.settings", one.game.environment
    game = environment if environment in ENVIRONMENTS else resolve_game(environment)
    settings = merged({"seed": one.seed}, with_underscores(one.agent.settings)) | {"game": game}
    config = convert(settings, ALGORITHMS[one.agent.train], place)
    command = command_of(one.agent.train, config, "", sweep.training.threads)
    folder = sweep.output / "agents" / f"{one.subject}-{config.seed}-{digest(command)[:8]}"
    words = shlex.split(command_of(one.agent.train, config, str(folder), sweep.training.threads))
    key = digest(words, *([file_digest(Path(config.start))] if config.start else []), public_version("torch"))
    agent = folder / "agent.safetensors"
    return Job(f"agent-{one.subject}-{config.seed}", (tuple(words),), (str(agent.absolute()),), (), key, sweep.training)


def _stages_job(
    sweep: Sweep, run: SweepRun, name: str, stages: tuple[str, ...], needs: tuple[str, ...], jobs: dict[str, Job]
) -> Job:
    """A job for stages that several runs share. It has no targets, which would make it another job for each run."""
    folder, config = sweep.output / "shared" / name, replace(run.config, targets=())
    commands = tuple(_command(config, stage, folder) for stage in stages)
    outputs = (str((folder / stages[-1]).absolute()),)
    return Job(name, commands, outputs, needs, _key(commands, run, config, needs, jobs), sweep.resources)


def _run_job(sweep: Sweep, run: SweepRun, needs: tuple[str, ...], jobs: dict[str, Job]) -> Job:
    commands = (_command(run.config, "run", run.config.output),)
    outputs = tuple(str((run.config.output / file).absolute()) for file in ("run.json", "report.html"))
    return Job(run.name, commands, outputs, needs, _key(commands, run, run.config, needs, jobs), sweep.resources)


def _command(config: RunConfig, stage: str, folder: Path) -> tuple[str, ...]:
    """The words of the command that runs one stage, or all of them, in a folder."""
    words = shlex.split(command_line(replace(config, output=folder)))
    return ("weakspot", stage, *words[2:])


def _key(
    commands: tuple[tuple[str, ...], ...], run: SweepRun, config: RunConfig, needs: tuple[str, ...], jobs: dict[str, Job]
) -> str:
    """Digest of the commands, of the files that they name, of the jobs that are done before, and of the version of torch.

    An agent that the sweep trains may have no file yet; the job that trains it stands for it.
    """
    names = [config.agent, *([config.environment] if config.environment else []), *config.targets]
    weights = [] if run.training else _weights(Path(config.agent).expanduser())
    return digest(commands, code_digests(names), weights, [jobs[name].key for name in needs], public_version("torch"))


def _weights(agent: Path) -> list[Any]:
    """What identifies the content of an agent's file, or of the folder of its training."""
    if agent.is_dir():
        files = sorted(path for path in agent.rglob("*") if path.is_file())
        return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return [file_digest(agent)] if agent.is_file() else []

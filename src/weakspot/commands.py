"""The subcommands: each parses its arguments and does its work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from weakspot.command_options import options_of
from weakspot.config import RunConfig
from weakspot.errors import AgentError, ConfigError, missing_extra
from weakspot.stages.listing import LISTING
from weakspot.system.progress import progress_bar, say

T = TypeVar("T")


def parse(kind: type[T], name: str, arguments: Sequence[str], description: str | None = None) -> T:
    """Parses the options of the subcommand ``name``. For ``--help`` and for invalid options, prints a text and exits.

    Raises:
        ConfigError: the first argument is a value without an option, as in ``weakspot run agent.zip``.
    """
    if arguments and not arguments[0].startswith("-"):
        check_named(kind, name, arguments[0])
    return tyro.cli(kind, prog=f"weakspot {name}", args=arguments, description=description)


def check_named(kind: type[Any], name: str, argument: str) -> None:
    """Raises :class:`ConfigError` if the command ``name`` takes no value without an option."""
    options = options_of(kind)
    if not any(option.positional for option in options):
        first = options[0].names[0] if options else "--help"
        raise ConfigError(
            f"weakspot {name} was given {argument!r} without an option",
            expected="options, each with its value",
            todo=f"write {first} {argument}" if first == "--agent" else f"look at weakspot {name} --help",
        )


def run(arguments: Sequence[str]) -> None:
    """``weakspot run``."""
    config = parse(RunConfig, "run", arguments)  # before the imports: --help needs none of them
    from weakspot.report.terminal import print_rating, print_twins, print_weaknesses
    from weakspot.together import run_together

    result = run_together(config)
    if result is None:
        return
    print_rating(result)
    print_twins(result)
    print_weaknesses(result)
    _say_report(result.report)


def run_stage(stage: str, arguments: Sequence[str]) -> None:
    """``weakspot STAGE``: runs one stage; the results it reads must be in the store."""
    config = parse(RunConfig, stage, arguments, f"Run one stage: {LISTING[stage].help}.")
    from weakspot.together import run_together

    result = run_together(config, only=(stage,))
    if stage == "report" and result:
        _say_report(result.report)


def _say_report(report: Path | None) -> None:
    if report:
        say(f"report: {os.path.normpath(report.absolute())}")


def plan(arguments: Sequence[str]) -> None:
    """``weakspot plan``: lists the results that ``weakspot run`` would make with these settings."""
    config = parse(RunConfig, "plan", arguments, "Lists the results that `weakspot run` would make.")
    from weakspot.pipeline import Pipeline

    pipeline = Pipeline(config)
    missing = pipeline.plan()
    say("would make " + ", ".join(missing) if missing else "nothing to do")
    if missing:
        say(pipeline.estimate())


@dataclass(frozen=True)
class CleanConfig:
    """Lists all results with their sizes, and deletes those that no run shows, such as results of earlier settings."""

    output: Path = Path("runs/pong")
    """The run folder whose store is cleaned."""
    store: Path | None = None
    """A store that several runs share; results that any of them shows are kept."""
    dry_run: bool = False
    """List what would be deleted, but delete nothing."""
    unfinished: bool = False
    """Also delete unfinished results of interrupted stages, which would otherwise be resumed."""


def clean(arguments: Sequence[str]) -> None:
    """``weakspot clean``."""
    from weakspot.run.clean import Kind, Survey, clean, survey
    from weakspot.run.folder import RunFolder

    config = parse(CleanConfig, "clean", arguments)
    store = config.store
    if store is None:
        record = RunFolder(config.output).read()
        if record is None:
            raise ConfigError(f"{config.output} is not a run folder", expected="a run folder", todo="check --output")
        store = RunFolder(config.output).store(record)
    kinds: tuple[Kind, ...] = ("unused", "damaged", "unfinished") if config.unfinished else ("unused", "damaged")
    before = survey(store)
    for result in before.stored:
        say(f"{result.size / 1e6:10.1f} MB  {result.kind:<10}  {result.folder.relative_to(store)}")
    for run in before.lost_runs:
        say(f"the run {run} was not found; its results are kept")
    if before.lost_runs:
        say(f"if these runs were deleted, delete their files in {store / 'runs'} as well")
    if config.dry_run:
        chosen = Survey(tuple(result for result in before.stored if result.kind in kinds), before.lost_runs)
        say(f"would delete {len(chosen.stored)} results, {sum(r.size for r in chosen.stored) / 1e6:.1f} MB")
        return
    deleted = clean(store, kinds).stored
    say(f"deleted {len(deleted)} results, {sum(result.size for result in deleted) / 1e6:.1f} MB; kept "
        f"{before.size('shown') / 1e6:.1f} MB that runs show")  # fmt: skip


@dataclass(frozen=True)
class VerifyConfig:
    """Compares all files of a run with the digests that were recorded when they were written. The exit code is 2 if a result
    is damaged; nothing is changed."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""


def verify(arguments: Sequence[str]) -> None:
    """``weakspot verify``."""
    from weakspot.errors import RunError
    from weakspot.run.verify import verify

    config = parse(VerifyConfig, "verify", arguments)
    damaged: list[Path] = []
    for result in verify(config.run):
        say(f"{'ok' if result.problem is None else 'DAMAGED':<8} {result.size / 1e6:10.1f} MB  {result.name}")
        if result.problem is not None:
            say(f"         {result.problem}")
            damaged.append(result.folder)
    if damaged:
        raise RunError(
            f"{len(damaged)} parts of {config.run} are damaged",
            expected="the files as they were written",
            todo=f"delete {', '.join(map(str, damaged[:4]))} and repeat the command of the run, which makes them anew"
            if damaged != [config.run.absolute()]
            else "repeat the command of the run, which makes the links anew",
        )


@dataclass(frozen=True)
class ReplayConfig:
    """Plays the loss and the rescue of a weakness again, bit for bit, and writes a video of both side by side."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    number: Annotated[int, tyro.conf.Positional]
    """The number of the weakness in the report."""
    output: Path | None = None
    """The video, an .mp4 file; by default replay-NUMBER.mp4 in the run folder."""
    trust: bool = False
    """Allow code in the agent's file to run."""


def replay(arguments: Sequence[str]) -> None:
    """``weakspot replay``."""
    from weakspot.artifacts.run import load_run
    from weakspot.replay import replay

    config = parse(ReplayConfig, "replay", arguments)
    output = config.output or config.run / f"replay-{config.number}.mp4"
    run = load_run(config.run)
    video = replay(run, config.number, output, trust=config.trust)
    if run.confirmation:
        say(run.confirmation.weaknesses[config.number - 1].sentence)
    say(f"video of the same frames as in the run: {video.absolute()}")


@dataclass(frozen=True)
class CompareConfig:
    """Compares the weaknesses of two runs, such as those of two checkpoints: which are gone, kept and new."""

    first: Annotated[Path, tyro.conf.Positional]
    """The run folder of the first agent."""
    second: Annotated[Path, tyro.conf.Positional]
    """The run folder of the second agent."""
    output: Path | None = None
    """A JSON file for the comparison."""
    fail_on: tuple[Literal["gone", "kept", "new"], ...] = ()
    """The exit status is 1 if there is a weakness of this kind."""
    seed: int = 0
    """Seed of the rollouts."""
    trust: bool = False
    """Allow code in the agents' files to run."""


def compare(arguments: Sequence[str]) -> int:
    """``weakspot compare``. Returns the exit status."""
    from dataclasses import asdict

    from weakspot.artifacts.run import load_run
    from weakspot.compare import compare
    from weakspot.report.terminal import print_comparison
    from weakspot.system.files import make_folder, write_json

    config = parse(CompareConfig, "compare", arguments)
    with progress_bar("compare") as report:
        comparison = compare(
            load_run(config.first), load_run(config.second), seed=config.seed, trust=config.trust,
            report=lambda done, total: report(done / total, f"{done} of {total} weaknesses"),
        )  # fmt: skip
    rows = [(one.status, one.sentence, one.first, one.second) for one in comparison.weaknesses]
    print_comparison(comparison.agents, rows)
    if config.output:
        make_folder(config.output.parent)
        write_json(config.output, asdict(comparison))
    counts = comparison.counts
    say(", ".join(f"{count} {status}" for status, count in counts.items()))
    return int(any(counts[status] for status in config.fail_on))


def explore(arguments: Sequence[str]) -> None:
    """``weakspot explore``, which needs the extra ``weakspot[explore]``."""
    from weakspot.explore.config import ExploreConfig

    config = parse(ExploreConfig, "explore", arguments)
    try:
        from weakspot.explore.serve import serve
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn"):
            raise
        raise missing_extra(error.name, "explore") from error
    serve(config)


def export(arguments: Sequence[str]) -> None:
    """``weakspot export``."""
    from weakspot.export.config import ExportConfig
    from weakspot.export.export import export

    config = parse(ExportConfig, "export", arguments)
    written = export(config)
    say(f"{len(written)} files in {(config.output or config.run / 'export').absolute()}")


def check_agent(arguments: Sequence[str]) -> None:
    """``weakspot check-agent``."""
    from weakspot.checkup import CheckConfig, check_up

    config, failed = parse(CheckConfig, "check-agent", arguments), 0
    with progress_bar("check") as report:
        findings = check_up(config, lambda name, done, total: report(done / total, f"{name}: {done} of {total} episodes"))
        for finding in findings:
            failed += finding.passed is False
            mark = "?   " if finding.passed is None else "ok  " if finding.passed else "FAIL"
            say(f"{mark}  {finding.name}: {finding.seen}")
            if finding.todo and not finding.passed:
                say(f"      to do: {finding.todo}")
    if failed:
        raise AgentError(f"{failed} of the checks failed", expected="no failure", todo="see the lines above")


def train_agent(arguments: Sequence[str]) -> None:
    """``weakspot train-agent``, which needs the extra ``weakspot[agents]``."""
    try:
        from weakspot.training.command import train_agent
    except ModuleNotFoundError as error:
        if error.name != "stable_baselines3":
            raise
        raise missing_extra("stable-baselines3", "agents") from error
    tyro.cli(train_agent, prog="weakspot train-agent", args=arguments)

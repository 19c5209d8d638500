"""The command line: one subcommand a stage, and ``run`` for all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro

from weakspot.agents import zoo
from weakspot.checkup import CheckConfig, check_up
from weakspot.config import RunConfig
from weakspot.errors import AgentError, ConfigError
from weakspot.pipeline import STAGES, Pipeline
from weakspot.system.process import exit_code
from weakspot.system.progress import progress_bar, say

Config = Annotated[RunConfig, tyro.conf.arg(name="")]


def run(config: Config) -> None:
    """Everything: collect, train, synthesize, analyse, report."""
    _stages(config, None)


def collect(config: Config) -> None:
    """Only the first stage: plays the agent and stores the states it sees."""
    _stages(config, "collect")


def train(config: Config) -> None:
    """Only the second stage: trains the state model on the stored states."""
    _stages(config, "train")


def synthesize(config: Config) -> None:
    """Only the third stage: synthesises states for each target."""
    _stages(config, "synthesize")


def analyse(config: Config) -> None:
    """Only the fourth stage: measures fidelity, goggles and novelty."""
    _stages(config, "analyse")


def report(config: Config) -> None:
    """Only the last stage: builds the HTML file."""
    _stages(config, "report")


def agents() -> None:
    """Lists the agents that ship with the package, with score and size."""
    for name in zoo.names():
        card, megabytes = zoo.card(name), zoo.path(name).stat().st_size / 1e6
        say(
            f"{name:<24} {card.environment:<24} score {card.score['mean']:.1f}, {megabytes:.1f} MB, "
            f"{card.training['algorithm']}"
        )


def check_agent(config: Annotated[CheckConfig, tyro.conf.arg(name="")]) -> None:
    """Checks an agent before you trust it to a run: its answers, its frames, its score."""
    failed = 0
    with progress_bar("check") as tell:
        findings = check_up(config, lambda what, done, total: tell(done / total, f"{what}: {done} of {total} games"))
        for finding in findings:
            failed += not finding.passed
            say(f"{'ok  ' if finding.passed else 'FAIL'}  {finding.name}: {finding.said}")
            if finding.todo and not finding.passed:
                say(f"      to do: {finding.todo}")
    if failed:
        raise AgentError(f"{failed} of the checks failed", expected="none", todo="see the lines above")


def _stages(config: RunConfig, only: str | None) -> None:
    pipeline = Pipeline(config, STAGES if only is None else (only,))
    path = pipeline.run()
    if only in (None, "report"):
        say(f"report: {path.resolve()}")


def _needs_an_extra() -> None:
    """Trains an agent; needs the extra weakspot[agents], which is not installed here."""
    raise ConfigError(
        "stable-baselines3 is not installed",
        expected="the extra weakspot[agents]",
        todo="pip install 'weakspot[agents]'",
    )


COMMANDS: dict[str, Callable[..., Any]] = {
    "run": run,
    "collect": collect,
    "train": train,
    "synthesize": synthesize,
    "analyse": analyse,
    "report": report,
    "agents": agents,
    "check-agent": check_agent,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its :func:`exit_code`."""
    commands = dict(COMMANDS)
    try:
        from weakspot.training.command import train_agent
    except ModuleNotFoundError:
        commands["train-agent"] = _needs_an_extra
        if [*(sys.argv[1:] if arguments is None else arguments)][:1] == ["train-agent"]:
            return exit_code(_needs_an_extra)  # whatever else the line says
    else:
        commands["train-agent"] = train_agent
    return exit_code(lambda: tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="weakspot"))


def entry() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()

"""The command line: ``run`` for all stages, one subcommand for each stage, and the tools.

Subcommands are imported when they are called, so that ``--help`` and ``--version`` are fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from weakspot.stages.listing import LISTING
from weakspot.system.process import exit_code
from weakspot.system.provenance import public_version
from weakspot.system.terminal import write_error, write_line

HELP = ("-h", "--help")


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        help: one line.
        function: called with the arguments, as ``module:function``.
        stage: that it runs, if it runs a single one.
        settings: the dataclass of its options as ``module:name``, for completion and the reference; empty without options.
        variants: of a command with subcommands: the dataclass of each of them.
    """

    help: str
    function: str
    stage: str = ""
    settings: str = ""
    variants: Mapping[str, str] = field(default_factory=dict[str, str])


RUN = "weakspot.config:RunConfig"


COMMANDS: dict[str, Command] = {
    "run": Command("Run all stages: from an agent to a report.", "weakspot.commands:run", settings=RUN),
    **{
        name: Command(f"Stage: {stage.help}.", "weakspot.commands:run_stage", name, settings=RUN)
        for name, stage in LISTING.items()
    },
    "plan": Command("List the results that run would make.", "weakspot.commands:plan", settings=RUN),
    "compare": Command(
        "Compare the weaknesses of two runs.", "weakspot.commands:compare", settings="weakspot.commands:CompareConfig"
    ),
    "replay": Command(
        "Play a weakness again, and write a video.", "weakspot.commands:replay", settings="weakspot.commands:ReplayConfig"
    ),
    "explore": Command(
        "Open a page to move through the state model, search and play.",
        "weakspot.commands:explore",
        settings="weakspot.explore.config:ExploreConfig",
    ),
    "export": Command(
        "Write the results of a run as pictures, videos, tables and a model card.",
        "weakspot.commands:export",
        settings="weakspot.export.config:ExportConfig",
    ),
    "sweep": Command(
        "Execute the runs of a sweep, on this machine or a cluster.",
        "weakspot.sweep.command:sweep",
        settings="weakspot.sweep.command:SweepConfig",
    ),
    "verify": Command(
        "Compare all files of a run with their digests.",
        "weakspot.commands:verify",
        settings="weakspot.commands:VerifyConfig",
    ),
    "clean": Command(
        "Delete results that no run shows.", "weakspot.commands:clean", settings="weakspot.commands:CleanConfig"
    ),
    "agents": Command("List the agents that ship with the package.", "weakspot.agents.zoo.listing:list_agents"),
    "check-agent": Command(
        "Check an agent for common mistakes before a run.",
        "weakspot.commands:check_agent",
        settings="weakspot.checkup.config:CheckConfig",
    ),
    "train-agent": Command(
        "Train an agent of your own.",
        "weakspot.commands:train_agent",
        settings="weakspot.training.config:CommandConfig",
        variants={
            "double-dqn": "weakspot.training.config:DoubleDQNConfig",
            "a2c": "weakspot.training.config:A2CConfig",
            "acktr": "weakspot.training.config:ACKTRConfig",
        },
    ),
    "doctor": Command(
        "Say what is installed, what this machine can do, and what is missing for what.",
        "weakspot.doctor:doctor",
        settings="weakspot.doctor:DoctorConfig",
    ),
    "completion": Command(
        "Print a completion script for bash, zsh or fish.",
        "weakspot.completion:completion",
        settings="weakspot.completion:CompletionConfig",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0, 2 after a user's error, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in HELP:
        return exit_code(lambda: write_line(usage())) or (0 if words else 2)
    if words[0] == "--version":
        return exit_code(lambda: write_line(f"weakspot {public_version('weakspot')}"))
    name, rest = words[0], words[1:]
    command = COMMANDS.get(name.replace("_", "-"))
    if command is None:
        write_error(f"error: there is no command {name!r}{_meant(name)}\n\n{usage()}")
        return 2
    module, _, function = command.function.partition(":")
    prefix: tuple[Any, ...] = (command.stage,) if command.stage else ()

    def work() -> object:
        called: Callable[..., object] = getattr(import_module(module), function)
        return called(*prefix, rest)

    return exit_code(work)


def _meant(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, COMMANDS, n=2)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def usage() -> str:
    """The help of the whole command."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: weakspot COMMAND [OPTIONS]",
            "",
            "Finds weaknesses of trained deep RL agents that see images.",
            "",
            *lines,
            "",
            "weakspot COMMAND --help lists the options of a command; weakspot --version prints the version.",
        ]
    )


def entry() -> None:
    """The console script."""
    code = main()
    if "TORCHELASTIC_RUN_ID" in os.environ:  # under torchrun: gloo's threads sometimes abort a process that ends as usual
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    entry()

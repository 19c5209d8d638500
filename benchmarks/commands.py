"""What weakspot's commands cost, each with its bound: processor time of the help, the version, the list of agents, and a run
that has nothing to do, and that of reading a run from Python.

    python -m benchmarks.commands
    python -m benchmarks.commands --run runs/demo

Without ``--run``, a run that takes seconds is made first, in ``--folder``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lab.command import run_command, say
from lab.commands import (
    UP_TO_DATE,
    WEAKSPOT,
    finished_run,
    processor_seconds,
    repeat_command,
    seconds_to_load,
)
from weakspot import load_run

BOUNDS = {"--help": 0.3, "--version": 0.3, "agents": 0.3, "run": 1.0, "load_run": 0.3}
"""Seconds that each command may take."""


def measure(folder: Path, run_folder: Path | None = None, repeats: int = 5) -> dict[str, Any]:
    """Seconds of each command, its bound, and whether the bound is met.

    Args:
        folder: of the run that is made.
        run_folder: of a finished run that is used instead.
        repeats: whose medians are reported.

    Raises:
        RunError: a command failed, or the run has something to do.
    """
    run = load_run(run_folder) if run_folder else finished_run(folder / "tiny")
    seconds = {name: processor_seconds([*WEAKSPOT, name], repeats) for name in ("--help", "--version", "agents")}
    seconds["run"] = processor_seconds(repeat_command(run), repeats, UP_TO_DATE)
    seconds["load_run"] = seconds_to_load(run.folder, repeats)
    return {
        "commands": {
            name: {"seconds": round(value, 3), "bound": BOUNDS[name], "met": value <= BOUNDS[name]}
            for name, value in seconds.items()
        }
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a finished run, which must be up to date")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="folder of the run that is made")
    arguments = parser.parse_args()
    record = measure(arguments.folder, arguments.run)
    for name, row in record["commands"].items():
        verdict = "met" if row["met"] else "NOT met"
        say(f"{name:<10} {row['seconds']:6.3f} s, bound {row['bound']:g} s: {verdict}")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    run_command(main)

"""Twins of synthesised states: how many have one, how close it is, and what it costs.

    python -m benchmarks.twins --agent pong-double-dqn --targets T- T+ T+- RIGHT --output docs/twins/twins.json

For each target: the share of synthesised states with a twin; how often the best state found reaches the target's value
within half a standard deviation of real states, and how often the closest recorded state does; the share of twins with a
lower target energy than all real training states; the share of edited states that are possible; distances; seconds and
decisions a state.  Calibration: real states of other episodes recreated by edits should pass the checks, states with random
values in their variables should not.  Rows of other agents in the file are kept, and finished stages are not repeated after
a kill.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from lab.arguments import add_training_arguments, at_least
from lab.command import repeatable_command, run_command, say
from lab.pipeline import open_session, run_config
from lab.records import all_versions, earlier_record, save_record
from lab.twins import TWINS, calibration, target_row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, 12.0)
    parser.add_argument("--targets", nargs="+", default=["T-", "T+", "T+-"])
    parser.add_argument("--recreated", type=at_least(2), default=30, help="real states that are recreated by edits")
    parser.add_argument("--trials", type=at_least(1), default=800, help="sets of changes for each of these")
    parser.add_argument("--output", type=Path, default=Path("runs/results/twins.json"))
    arguments = parser.parse_args()
    config = run_config(
        arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames, minutes=arguments.cpu_minutes,
        targets=arguments.targets,
    )  # fmt: skip
    session = open_session(config, TWINS)
    generator = np.random.default_rng(0)
    rows = [target_row(session, slug, generator) for slug in session.targets]
    for row in rows:
        say(str(row))
    name = session.subject.agent.spec.name
    checks = calibration(session, arguments.recreated, arguments.trials, seed=0)
    say(str(checks))
    record = earlier_record(arguments.output)
    others = [row for row in record.get("rows", []) if row["agent"] != name]
    agents = record.get("agents", {}) | {
        name: {
            "command": repeatable_command(sys.argv),
            "versions": all_versions(),
            "frames": arguments.frames,
            "cpu_minutes": arguments.cpu_minutes,
            "calibration": checks,
        }
    }
    save_record(arguments.output, {"rows": sorted([*others, *rows], key=lambda row: row["agent"]), "agents": agents})


if __name__ == "__main__":
    run_command(main)

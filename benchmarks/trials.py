"""Processor time of a trial of the search for twins, against what the emulator alone needs for it.

    python -m benchmarks.trials --games pong seaquest qbert breakout

A trial goes back to a state, changes three bytes of the memory, and plays four decisions.  The emulator alone restores its
state, which takes two frames more after a change of the memory (see ``AtariEnvironment``), sets the bytes, steps sixteen
frames, and gives the screens of the last two of each four.  Both take turns in one process; times
are medians.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lab.arguments import at_least
from lab.command import run_command
from lab.records import all_versions, save_record
from lab.trials import trial_times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", nargs="+", default=["pong", "seaquest", "qbert", "breakout"])
    parser.add_argument("--trials", type=at_least(3), default=300, help="of both kinds in each game")
    parser.add_argument("--output", type=Path, help="a JSON file for the record")
    arguments = parser.parse_args()
    games = {game: trial_times(game, arguments.trials) for game in arguments.games}
    print(json.dumps(games, indent=2))
    if arguments.output:
        save_record(arguments.output, {"trials": arguments.trials, "games": games, "versions": all_versions()})


if __name__ == "__main__":
    run_command(main)

"""Time and memory of the exact search for the closest training states.

    python -m benchmarks.neighbours --states 1000 --frames 10000 --output docs/results

The queries are recorded states with a little noise, so that the correct result is known: the state without noise, or an
equal one. Prints the seconds, the peak of the process's memory, how far that is above the peak before the search was
prepared, and the share of correct results. Writes ``neighbours.json`` to ``--output``, if that is given.
"""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path
from typing import Any

import torch

from lab.arguments import at_least
from lab.command import run_command
from lab.neighbours import noisy_states
from lab.pipeline import STATES, open_session, run_config
from lab.records import save_record
from weakspot import StateDataset, TrainConfig


def peak_megabytes() -> float:
    """The largest memory that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(dataset: StateDataset, states: int) -> dict[str, Any]:
    """Searches for ``states`` noisy states among all whole ones of the data set."""
    before = peak_megabytes()
    queries = noisy_states(dataset, states)
    seconds, correct = queries.find_closest()
    peak = peak_megabytes()
    return {
        "states": states,
        "among": len(queries.indices),
        "seconds": round(seconds, 1),
        "megabytes": round(peak),
        "megabytes_more": round(peak - before),
        "right": float(correct.mean()),
        "threads": TrainConfig().parts,
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=at_least(1), default=1_000, help="number of queries")
    parser.add_argument("--frames", type=at_least(1), default=10_000, help="number of states to collect")
    parser.add_argument("--folder", type=Path, default=Path("runs/neighbours"), help="folder of the run")
    parser.add_argument("--output", type=Path, help="folder of the JSON file; default: none is written")
    arguments = parser.parse_args()
    config = run_config(arguments.folder, "pong-double-dqn", None, frames=arguments.frames)
    record = measure(open_session(config, STATES).dataset, arguments.states)
    print(json.dumps(record))
    if arguments.output:
        save_record(arguments.output / "neighbours.json", record)


if __name__ == "__main__":
    run_command(main)

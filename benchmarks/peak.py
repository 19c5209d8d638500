"""Share of the machine's peak at which a training step of ``fast``, its layers and its flow run.

    python -m benchmarks.peak --rounds 20 --output docs/peak.json

The peak is a plain product of two matrices in the same number format, on one thread.  Operations are those of matrix
products and convolutions, as torch counts them; dense convolutions with zeros in their weights count in full.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lab.arguments import at_least
from lab.command import run_command
from lab.peak import shares_of_peak
from lab.pipeline import STATES, open_session, run_config
from lab.records import all_versions, save_record


def measure(agent: str, environment: str | None, folder: Path, rounds: int = 20, frames: int = 2_000) -> dict[str, Any]:
    """The shares, on a few recorded states."""
    session = open_session(run_config(folder, agent, environment, frames=frames), STATES)
    return {"peak": shares_of_peak(session, rounds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--rounds", type=at_least(1), default=20, help="of each time")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="folder of the runs")
    parser.add_argument("--output", type=Path, help="a JSON file for the record")
    arguments = parser.parse_args()
    record = measure(arguments.agent, arguments.environment, arguments.folder, arguments.rounds)
    print(json.dumps(record, indent=2))
    if arguments.output:
        save_record(arguments.output, record | {"rounds": arguments.rounds, "versions": all_versions()})


if __name__ == "__main__":
    run_command(main)

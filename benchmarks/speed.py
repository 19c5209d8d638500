"""Time of a training step against its bare networks, of 64 searches at once against single ones, and of a whole target;
memory of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lab.arguments import positive
from lab.command import run_command
from lab.pipeline import open_session, run_config
from lab.speed import peak_memory, synthesis_speedup, target_seconds, training_step_overhead


def measure(agent: str, environment: str | None, minutes: float, folder: Path) -> dict[str, float]:
    """All measurements, with the model that :mod:`benchmarks.recall` trains for as many minutes."""
    session = open_session(run_config(folder, agent, environment, minutes=minutes, clock="wall"))
    return {
        **training_step_overhead(session),
        **synthesis_speedup(session),
        **target_seconds(session),
        **peak_memory(agent, environment),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--minutes", type=positive, default=7.0, help="training budget of the state model")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="folder of the runs")
    arguments = parser.parse_args()
    record = measure(arguments.agent, arguments.environment, arguments.minutes, arguments.folder)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    run_command(main)

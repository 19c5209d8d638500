"""The benchmarks of ``make bench``: prints them and writes ``bench.json``. Takes about half an hour on two cores.

    python -m benchmarks.all --parts collect

repeats one part and leaves the others in the file as they are; ``created`` says when each was measured.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import collect, commands, peak, recall, speed
from lab.arguments import at_least, positive
from lab.command import run_command
from lab.pipeline import loaded_subject
from lab.records import earlier_record, package_versions, save_record
from weakspot import Agent

PARTS: dict[str, Callable[[Agent, argparse.Namespace], dict[str, Any]]] = {
    "commands": lambda agent, arguments: commands.measure(arguments.folder),
    "collect": lambda agent, arguments: collect.measure(agent, agent.spec.environment),
    "peak": lambda agent, arguments: peak.measure(arguments.agent, arguments.environment, arguments.folder),
    "recall": lambda agent, arguments: recall.measure(
        arguments.agent, arguments.environment, arguments.minutes, arguments.episodes, arguments.folder
    ),
    "speed": lambda agent, arguments: speed.measure(
        arguments.agent, arguments.environment, arguments.minutes, arguments.folder
    ),
}
"""The parts, in their order: the last uses the state model that the one before trains."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--minutes", type=positive, default=7.0, help="training budget of each recipe")
    parser.add_argument("--episodes", type=at_least(1), default=20, help="of the goggles test")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="folder of the runs")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    agent = loaded_subject(arguments.agent, arguments.environment).agent
    record = earlier_record(arguments.output)
    created = dict(record.get("created", {}))
    for part in arguments.parts:
        record |= PARTS[part](agent, arguments)
        created[part] = datetime.now(UTC).isoformat(timespec="seconds")
    record |= {
        "agent": agent.spec.name,
        "versions": {"python": platform.python_version(), **package_versions("weakspot", "torch")},
        "created": created,
    }
    save_record(arguments.output, record)
    print(json.dumps({key: value for key, value in record.items() if not key.startswith("curve")}, indent=2))


if __name__ == "__main__":
    run_command(main)

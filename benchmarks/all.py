"""All measurements: prints them and writes ``bench.json``.  Takes about half an hour on two cores.

    python -m benchmarks.all --parts collect

measures one part again and leaves the others in the file as they are; ``created`` says when each was measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import collect, recall, speed
from lab.arguments import at_least, positive
from weakspot.config import RunConfig
from weakspot.subject import Subject, subject
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code

PARTS: dict[str, Callable[[Subject, argparse.Namespace], dict[str, Any]]] = {
    "collect": lambda one, told: collect.measure(one.agent, one.agent.spec.environment),
    "recall": lambda one, told: recall.measure(told.agent, told.environment, told.minutes, told.episodes, told.folder),
    "speed": lambda one, told: speed.measure(told.agent, told.environment, told.minutes, told.folder),
}
"""What is measured, in this order: the last part uses the model that the second one trains."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--minutes", type=positive, default=7.0, help="of training for each recipe")
    parser.add_argument("--episodes", type=at_least(1), default=20)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    told = parser.parse_args()
    make_folder(told.folder)
    one = subject(RunConfig(agent=told.agent, environment=told.environment))
    result = json.loads(told.output.read_text()) if told.output.exists() else {}
    created = dict(result.get("created", {}))
    for part in told.parts:
        result |= PARTS[part](one, told)
        created[part] = datetime.now(UTC).isoformat(timespec="seconds")
    result |= {
        "agent": one.agent.spec.name,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("weakspot", "torch")}},
        "created": created,
    }
    write_json(told.output, result)
    print(json.dumps({key: value for key, value in result.items() if not key.startswith("curve")}, indent=2))


if __name__ == "__main__":
    sys.exit(exit_code(main))

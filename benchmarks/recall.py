"""Ball recall of the recipe ``fast`` over time, and its goggles score.

The time is wall time of the training steps on all cores, without measurements in between.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lab.arguments import at_least, positive
from lab.command import run_command
from lab.objects import check_pong
from lab.pipeline import MODEL, goggles_config, goggles_record, measurements, open_session, run_config


def measure(agent: str, environment: str | None, minutes: float, episodes: int, folder: Path) -> dict[str, Any]:
    """Recall of ``fast`` over time, and the goggles scores.

    Raises:
        ConfigError: the agent does not play Pong.
    """
    config = run_config(folder, agent, environment, minutes=minutes, clock="wall", goggles=goggles_config(episodes))
    session = open_session(config, (*MODEL, "goggles"), check_pong)
    curve, scores = measurements(session), goggles_record(session)
    return {
        "ball_recall_fast": curve[-1]["ball_recall"],
        "agent_score": scores["agent"]["mean"],
        "goggles_score": scores["goggles"]["mean"],
        "goggles": scores,
        "minutes": minutes,
        "curve_fast": curve,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--minutes", type=positive, default=7.0, help="training budget")
    parser.add_argument("--episodes", type=at_least(1), default=20, help="of the goggles test")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="folder of the runs")
    arguments = parser.parse_args()
    record = measure(arguments.agent, arguments.environment, arguments.minutes, arguments.episodes, arguments.folder)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    run_command(main)
